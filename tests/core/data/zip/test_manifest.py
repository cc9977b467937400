import json

import pytest

from core.data.zip.folders import Place
from core.data.zip.manifest import by_manifest
from core.errors import InvalidDatasetError

FILES = {"a.jpg", "b.jpg", "é/c.png"}


def places(text, *, name="labels.csv"):
    content = text if isinstance(text, bytes) else text.encode()
    return by_manifest(content, name=name, files=FILES)


@pytest.mark.parametrize("column", ["file_name", "filename", "file", "path", "image", " File_Name "])
def test_by_manifest__csv(column):
    found, label = places(f"{column},label\na.jpg,cat\n./b.jpg, dog \n")
    assert found == {"a.jpg": Place(None, "cat"), "b.jpg": Place(None, "dog")}
    assert label == "label"


def test_by_manifest__splits_and_other_columns():
    found, label = places('note,path,class,split\n"a, b",a.jpg,cat,train\n,b.jpg,cat,validation\n')
    assert found == {"a.jpg": Place("train", "cat"), "b.jpg": Place("validation", "cat")}
    assert label == "class"


def test_by_manifest__as_spreadsheets_write_it():
    assert places("\ufefffile,label\r\na.jpg,cat\r\n")[0] == {"a.jpg": Place(None, "cat")}
    assert places("file,label,split\na.jpg,cat,\n")[0] == {"a.jpg": Place(None, "cat")}


def test_by_manifest__names_in_normal_form():
    assert list(places("file,label\ne\u0301/c.png,cat\n")[0]) == ["é/c.png"]


def test_by_manifest__json_lines():
    rows = [{"file_name": "a.jpg", "label": 3, "more": {"x": [1]}}, {"file_name": "b.jpg", "label": "x\u2028y"}]
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert places(text, name="metadata.jsonl")[0] == {"a.jpg": Place(None, "3"), "b.jpg": Place(None, "x\u2028y")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no image"),
        ("file,label\n", "lists no image"),
        ("name,label\na.jpg,cat\n", "no column file_name or filename or .* \\(found: 'name', 'label'\\)"),
        ("file,note\na.jpg,cat\n", "no column label or labels or class or target"),
        ("file,label\na.jpg\n", r"no label in row 1 \(rows count from 1\)"),
        ("file,label\na.jpg,cat\n,dog\n", "no file in row 2"),
        ("file,label\na.jpg,cat\na.jpg,dog\n", "lists 'a.jpg' twice, again in row 2"),
        (
            "file,label\nx.jpg,cat\na.jpg,cat\n../a.jpg,cat\n",
            r"2 files that are not in the ZIP \('x.jpg', '../a.jpg'\)",
        ),
        ("file,label,split\na.jpg,cat,train\nb.jpg,cat,\n", "no split in row 2"),
        ("file,label,split\na.jpg,cat,later\n", "the split 'later' in row 1: write train, val or test"),
        ('file,label\n"a.jpg,cat\n', "cannot be read"),
        (b"file,label\n\xff\xfe,cat\n", "cannot be read"),
        ("file,label\n" + "x.jpg,cat\n" * 1000, "lists 'x.jpg' twice"),
    ],
)
def test_by_manifest__csv_refused(text, message):
    with pytest.raises(InvalidDatasetError, match=message):
        places(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "a line is not a JSON object"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"file": "a.jpg", "label": ' + "9" * 5000 + "}", "cannot be read"),
        ('{"file": "a.jpg", "label": true}', "no label in row 1"),
        ('{"file": "a.jpg", "label": null}', "no label in row 1"),
        ('{"file": ["a.jpg"], "label": 1}', "no file in row 1"),
        ('{"file": "a.jpg", "label": 1}\n{"file": "b.jpg", "label": 1, "split": "test"}', "no split in row 1"),
    ],
)
def test_by_manifest__json_refused(text, message):
    with pytest.raises(InvalidDatasetError, match=message):
        places(text, name="x.jsonl")
