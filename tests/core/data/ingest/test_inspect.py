import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.ingest.inspect import convert
from core.data.ingest.opening import UploadedFile
from core.data.stored import facts_of
from core.data.uploaded import UploadedSource
from core.errors import InvalidDatasetError, SourceUnavailableError


@pytest.fixture
def upload(write_parquet, tmp_path):
    """Write one Parquet file and return its name."""

    def write(name, images, labels, **options):
        return UploadedFile(write_parquet(tmp_path / f"{name}.upload", images, labels, **options), name)

    return write


@pytest.fixture
def destination(tmp_path):
    folder = tmp_path / "stored"
    folder.mkdir()
    return folder / "ds_1"


@pytest.fixture
def store(destination):
    def run(*files, max_pixels=10_000):
        return convert(files, destination, max_pixels=max_pixels)

    return run


@pytest.fixture
def refused(store, destination):
    """Check that files are refused and that no file remains."""

    def check(message, *files):
        with pytest.raises(InvalidDatasetError, match=message):
            store(*files)
        assert list(destination.parent.iterdir()) == []

    return check


def test_convert__splits_by_file_name(upload, store, destination, image_bytes, two_classes):
    names = ("even", "odd")
    report = store(
        upload("test.parquet", image_bytes[15:], two_classes[15:], class_names=names),
        upload("train-0.parquet", image_bytes[:8], two_classes[:8], class_names=names),
        upload("train-1.parquet", image_bytes[8:15], two_classes[8:15], class_names=names),
    )
    assert json.loads((destination / "dataset.json").read_text()) == report
    assert sorted(path.name for path in destination.iterdir()) == [
        "contact_sheet.png",
        "dataset.json",
        "evaluation.arrow",
        "train.arrow",
    ]
    assert report | {"digest": ""} == {
        "format": 1,
        "digest": "",
        "class_names": ["even", "odd"],
        "train_size": 15,
        "evaluation_size": 5,
        "image_size": 8,
        "image_sizes": {"least": 8, "most": 8},
        "images_per_class": {"train": [8, 7], "evaluation": [2, 3]},
        "splits": {
            "rule": "file names",
            "train": [{"file": "train-0.parquet", "rows": 8}, {"file": "train-1.parquet", "rows": 7}],
            "evaluation": [{"file": "test.parquet", "rows": 5}],
            "unused": [],
        },
        "duplicates": {"train": 0, "evaluation": 0, "across": 0},
        "columns": {"image": "image", "label": "label"},
        "broken": {"count": 0, "first": []},
        "ignored": {"count": 0, "first": []},
    }
    source = UploadedSource(destination)
    assert source.facts == facts_of(report)
    assert source.image_size == 8
    assert source.labels("train").tolist() == two_classes[:15]
    assert source.labels("evaluation").tolist() == two_classes[15:]
    values = source.images("evaluation", np.array([4, 0, 4]), size=8)
    assert (values.shape, values.dtype) == ((3, 8, 8, 3), np.uint8)
    assert values[:, 3, 3].tolist() == [[19, 0, 7], [15, 0, 7], [19, 0, 7]]


def test_convert__validation_before_test(upload, store, image_bytes, two_classes):
    (train, validation, test) = (
        upload(f"{name}.parquet", image_bytes, two_classes) for name in ("train", "validation", "test")
    )
    report = store(train, validation, test)
    assert report["splits"]["evaluation"] == [{"file": "validation.parquet", "rows": 20}]
    assert report["splits"]["unused"] == ["test.parquet"]
    assert report["duplicates"] == {"train": 0, "evaluation": 0, "across": 20}


def test_convert__splits_by_row(upload, store, destination, image_bytes, two_classes):
    report = store(
        upload("a.parquet", image_bytes[:9], two_classes[:9]),
        upload("b.parquet", image_bytes[9:], two_classes[9:]),
    )
    assert report["splits"]["rule"] == "a fifth of each class, seed 0"
    assert report["images_per_class"] == {"train": [8, 8], "evaluation": [2, 2]}
    source = UploadedSource(destination)
    values = np.concatenate(
        [source.images(split, np.arange(len(source.labels(split))), size=8) for split in ("train", "evaluation")]
    )[:, 0, 0, 0]
    labels = np.concatenate([source.labels("train"), source.labels("evaluation")])
    assert sorted(values.tolist()) == list(range(20))
    np.testing.assert_array_equal(labels, values % 2)


def test_convert__counts_duplicates(upload, store, image_bytes):
    train = [image_bytes[0]] * 3 + image_bytes[1:4]
    evaluation = [image_bytes[0], image_bytes[9], image_bytes[9]]
    report = store(upload("train.parquet", train, list("aabbab")), upload("test.parquet", evaluation, list("aba")))
    assert report["duplicates"] == {"train": 2, "evaluation": 1, "across": 1}


def test_convert__digest_follows_content_and_rule(upload, write_parquet, tmp_path, image_bytes, two_classes):
    train = upload("train.parquet", image_bytes, two_classes)
    test = upload("test.parquet", image_bytes[:6], two_classes[:6])
    unsaid = [UploadedFile(train.path, "a.parquet"), UploadedFile(test.path, "b.parquet")]
    other = upload("other.parquet", image_bytes[:6], two_classes[1:7])
    digests = [
        convert(files, tmp_path / f"ds_{index}", max_pixels=100)["digest"]
        for index, files in enumerate(
            [[train, test], [train, test], unsaid, [train, UploadedFile(other.path, "test.parquet")]]
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert all(len(digest) == 64 for digest in digests)


def test_convert__every_mode_of_image(upload, store, destination, encode_image):
    rgb = Image.new("RGB", (6, 4), (9, 9, 9))
    modes = [encode_image(rgb.convert(mode)) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    modes += [encode_image(rgb.convert("CMYK"), "JPEG"), encode_image(rgb, "WEBP")]
    report = store(upload("train.parquet", modes, list("aabbabaab")), upload("val.parquet", modes, list("aabbabaab")))
    assert report["image_size"] == 6
    assert UploadedSource(destination).images("train", np.arange(9), size=4).shape == (9, 4, 4, 3)


def test_convert__broken_images(upload, refused, image_bytes, two_classes, encode_image, monkeypatch):  # noqa: PLR0917 - fixtures
    monkeypatch.setattr("core.data.ingest.inspect.SHOWN_FAILURES", 3)
    images = list(image_bytes)
    images[3], images[5], images[8], images[9] = image_bytes[3][:40], b"", None, b"no image"
    images[11] = encode_image(Image.new("RGB", (200, 100)))
    message = (
        r"x\.parquet: 5 of 20 images in column 'image' \(rows count from 0\) cannot be used: "
        r"row 3: (broken or cut short|not a JPEG).*; row 5: empty; row 8: no image; …\. Repair or remove them, or send "
        "allow_broken=true"
    )
    refused(message, upload("x.parquet", images, two_classes))


def test_convert__too_many_pixels(upload, refused, image_bytes, two_classes, encode_image):
    images = [*image_bytes[:19], encode_image(Image.new("RGB", (200, 100)))]
    refused("row 19: 200 x 100 pixels, more than", upload("x.parquet", images, two_classes))


def test_convert__broken_image_in_the_last_file(upload, refused, image_bytes, two_classes):
    good = upload("train.parquet", image_bytes, two_classes)
    bad = upload("test.parquet", [*image_bytes[:3], b"?"], [0, 1, 0, 1])
    refused(r"test\.parquet: 1 of 4 images", good, bad)


def test_convert__many_broken_images_are_not_counted_to_the_end(upload, refused, monkeypatch):
    monkeypatch.setattr("core.data.ingest.inspect.COUNTED_FAILURES", 500)
    file = upload("x.parquet", [None] * 2000, ["a", "b"] * 1000)
    refused(r"x\.parquet: over 500 of 2,000 images .*row 0: no image", file)


def test_convert__a_small_file_with_a_large_content(upload, refused, image_bytes, two_classes, monkeypatch):
    padded = [image_bytes[0] + bytes(100_000)] * 20
    monkeypatch.setattr("core.data.ingest.inspect.ALWAYS_BYTES", 0)
    refused("expands too much: the images .* are more than 10 times", upload("x.parquet", padded, two_classes))


def test_convert__nothing_uploaded(refused):
    refused("No file was uploaded")


def test_convert__one_class_to_train_on(upload, refused, image_bytes):
    files = (
        upload("train.parquet", image_bytes, ["a"] * 20),
        upload("test.parquet", image_bytes, ["a", "b"] * 10),
    )
    refused(r"All 20 training images have the same label in column 'label' \('a'\)", *files)


@pytest.mark.parametrize("size", [1, 2])
def test_convert__few_evaluation_images(upload, refused, image_bytes, two_classes, size):
    files = (
        upload("train.parquet", image_bytes, two_classes),
        upload("test.parquet", image_bytes[:size], two_classes[:size]),
    )
    refused(rf"evaluation split has {size} images \(split by file names\): at least 3", *files)


def test_convert__too_few_to_split(upload, refused, image_bytes, two_classes):
    message = r"The evaluation split has 2 images \(split by a fifth of each class, seed 0\): at least 3"
    refused(message, upload("x.parquet", image_bytes[:6], two_classes[:6]))


def test_convert__evaluation_without_images(upload, refused, image_bytes, two_classes):
    files = (
        upload("train.parquet", image_bytes, two_classes),
        upload("test.parquet", [], np.array([], np.int64)),
    )
    refused(r"test\.parquet has no rows", *files)


def test_convert__files_that_differ(upload, refused, image_bytes, two_classes):
    files = (
        upload("train.parquet", image_bytes, two_classes),
        upload("test.parquet", image_bytes, [str(label) for label in two_classes]),
    )
    refused("test.parquet does not fit train.parquet|train.parquet does not fit", *files)


def test_convert__existing_dataset_is_not_touched(upload, store, destination, image_bytes, two_classes):
    destination.mkdir()
    (destination / "dataset.json").write_text("mine")
    with pytest.raises(OSError, match="not empty"):
        store(upload("a.parquet", image_bytes, two_classes))
    assert (destination / "dataset.json").read_text() == "mine"
    assert list(destination.parent.iterdir()) == [destination]


def test_convert__files_of_an_earlier_attempt_are_deleted(upload, store, destination, image_bytes, two_classes):
    left = destination.with_name(".ds_1.partial")
    left.mkdir()
    (left / "train.arrow").write_bytes(b"half")
    store(upload("a.parquet", image_bytes, two_classes))
    assert list(destination.parent.iterdir()) == [destination]


def test_uploaded_source__missing_or_damaged(upload, store, destination, image_bytes, two_classes):
    with pytest.raises(SourceUnavailableError, match="upload it again"):
        _ = UploadedSource(Path("ds_missing")).facts
    store(upload("a.parquet", image_bytes, two_classes))
    (destination / "train.arrow").write_bytes(b"nonsense")
    with pytest.raises(SourceUnavailableError, match="ds_1 cannot be read"):
        UploadedSource(destination).labels("train")
