import json

import pyarrow as pa
import pytest

from core.data.columns import Columns, find_columns
from core.errors import InvalidDatasetError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def schema(fields, features=None):
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()} if features else None
    return pa.schema(list(fields.items()), metadata=metadata)


def find(fields, features=None):
    return find_columns(schema(fields, features), file="a.parquet")


def test_find_columns__by_features():
    found = find(
        {"id": pa.int64(), "picture": IMAGE, "kind": pa.int64(), "text": pa.string()},
        {"picture": {"_type": "Image"}, "kind": {"_type": "ClassLabel", "names": ["cat", "dog"]}},
    )
    assert found == Columns("picture", "kind", "class", ("cat", "dog"))


@pytest.mark.parametrize("image_type", [IMAGE, pa.binary(), pa.large_binary(), pa.struct([("bytes", pa.binary())])])
@pytest.mark.parametrize(
    ("label_type", "kind"),
    [
        (pa.int8(), "integer"),
        (pa.uint64(), "integer"),
        (pa.string(), "string"),
        (pa.large_string(), "string"),
        (pa.bool_(), "string"),
        (pa.dictionary(pa.int32(), pa.string()), "string"),
    ],
)
def test_find_columns__by_type(image_type, label_type, kind):
    assert find({"x": image_type, "y": label_type}) == Columns("x", "y", kind)


def test_find_columns__telling_names_among_several():
    fields = {"img": IMAGE, "thumbnail": IMAGE, "id": pa.int64(), "label": pa.string()}
    assert find(fields) == Columns("img", "label", "string")


def test_find_columns__pandas_row_numbers_are_no_label():
    assert find({"image": IMAGE, "__index_level_0__": pa.int64(), "kind": pa.string()}).label == "kind"


@pytest.mark.parametrize("metadata", [b"no json", b"[]", b'{"info": {"features": {"image": 3}}}', b'{"info": null}'])
def test_find_columns__foreign_metadata_is_ignored(metadata):
    foreign = schema({"image": IMAGE, "label": pa.int64()}).with_metadata({b"huggingface": metadata})
    assert find_columns(foreign, file="a.parquet") == Columns("image", "label", "integer")


@pytest.mark.parametrize(
    ("fields", "features", "message"),
    [
        ({"label": pa.int64()}, None, r"a\.parquet has no image column.*found: label: int64"),
        ({}, None, "no image column.*no columns"),
        (
            {"a": IMAGE, "b": IMAGE, "label": pa.int64()},
            None,
            r"several columns that could be the image \('a', 'b'\)",
        ),
        ({"image": IMAGE}, None, "no label column: add one"),
        ({"image": IMAGE, "score": pa.float32(), "tags": pa.list_(pa.string())}, None, "no label column"),
        (
            {"image": IMAGE, "a": pa.int64(), "b": pa.string()},
            None,
            r"could be the label \('a', 'b'\).*'label'",
        ),
        (
            {"image": IMAGE, "fine": pa.int64(), "coarse": pa.int64()},
            {name: {"_type": "ClassLabel", "names": ["x", "y"]} for name in ("fine", "coarse")},
            r"could be the label \('fine', 'coarse'\)",
        ),
        (
            {"image": pa.string(), "label": pa.int64()},
            {"image": {"_type": "Image"}},
            "column 'image' holds paths, not the images themselves.*to_parquet",
        ),
    ],
)
def test_find_columns__errors(fields, features, message):
    with pytest.raises(InvalidDatasetError, match=message):
        find(fields, features)


CLASSES = {"fine": {"_type": "ClassLabel", "names": ["x", "y"]}, "image": {"_type": "Image"}}
SEVERAL = {"image": IMAGE, "photo": pa.binary(), "fine": pa.int64(), "id": pa.int64(), "label": pa.string()}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, Columns("image", "fine", "class", ("x", "y"))),
        ({"image": "photo"}, Columns("photo", "fine", "class", ("x", "y"))),
        ({"label": "label"}, Columns("image", "label", "string")),
        ({"label": "id", "image": "photo"}, Columns("photo", "id", "integer")),
        ({"label": "fine"}, Columns("image", "fine", "class", ("x", "y"))),
    ],
)
def test_find_columns__requested_ones(asked, found):
    assert find_columns(schema(SEVERAL, CLASSES), file="a.parquet", **asked) == found


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"image": "picture"}, r"a\.parquet has no column 'picture' that could be the image\. .*: 'image', 'photo'\."),
        ({"image": "id"}, "no column 'id' that could be the image"),
        ({"label": "species"}, "no column 'species' that could be the label. Possible columns: 'fine', 'id', 'label'"),
        ({"label": "image"}, "no column 'image' that could be the label"),
        ({"label": "photo"}, "no column 'photo' that could be the label"),
    ],
)
def test_find_columns__requested_ones_that_do_not_exist(asked, message):
    with pytest.raises(InvalidDatasetError, match=message):
        find_columns(schema(SEVERAL, CLASSES), file="a.parquet", **asked)


def test_find_columns__the_error_about_several_names_the_solution():
    several = schema({"image": IMAGE, "a": pa.int64(), "b": pa.string()})
    with pytest.raises(InvalidDatasetError, match=r"label \('a', 'b'\): say which, \?label=…\."):
        find_columns(several, file="a.parquet", several="say which, ?{role}=…")


def test_find_columns__repeated_name():
    twice = pa.schema([("image", IMAGE), ("label", pa.int64()), ("label", pa.int64())])
    with pytest.raises(InvalidDatasetError, match="several columns named 'label'"):
        find_columns(twice, file="a.parquet")


def test_find_columns__metadata_that_nest_without_end_are_ignored():
    metadata = {b"huggingface": b'{"info": {"features": ' + b"[" * 200_000}
    found = find_columns(pa.schema([("image", IMAGE), ("label", pa.int64())], metadata=metadata), file="a.parquet")
    assert found == Columns("image", "label", "integer")
