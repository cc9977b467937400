import numpy as np
import pytest

from core.data.ingest.inspect import convert
from core.data.ingest.opening import UploadedFile
from core.data.uploaded import UploadedSource
from core.errors import InvalidDatasetError
from tests.core.data.zips import crafted, deflated, zipped


@pytest.fixture
def store(tmp_path):
    """Store a ZIP of these entries. Returns the report and the dataset."""

    def run(entries, *, name="pets.zip", **options):
        path = tmp_path / "upload"
        path.write_bytes(entries if isinstance(entries, bytes) else zipped(entries))
        destination = tmp_path / "ds_1"
        report = convert([UploadedFile(path, name)], destination, max_pixels=10_000, **options)
        return report, UploadedSource(destination)

    return run


@pytest.fixture
def refused(store, tmp_path):
    def check(entries, message, **options):
        with pytest.raises(InvalidDatasetError, match=message):
            store(entries, **options)
        assert not (tmp_path / "ds_1").exists()

    return check


@pytest.fixture
def classes(image_bytes):
    """Return twenty images in two class folders below `top`. The red value of the pixels of image i is i."""

    def make(top="", *, names=("cat", "dog"), rows=range(20)):
        return {f"{top}{names[row % len(names)]}/{row:02}.png": image_bytes[row] for row in rows}

    return make


def red(source, split):
    """Return the images of a split, identified by their red value."""
    return source.images(split, np.arange(len(source.labels(split))), size=8)[:, 0, 0, 0].tolist()


def test_open_zip__splits(store, classes):
    entries = classes("train/", rows=range(14)) | classes("val/", rows=range(14, 20)) | {"README.txt": b"?"}
    report, source = store(entries)
    assert report["class_names"] == ["cat", "dog"]
    assert report["splits"] == {
        "rule": "folder names",
        "train": [{"file": "train", "rows": 14}],
        "evaluation": [{"file": "val", "rows": 6}],
        "unused": [],
    }
    assert report["images_per_class"] == {"train": [7, 7], "evaluation": [3, 3]}
    assert report["columns"] == {"image": "file", "label": "folder"}
    assert report["ignored"] == {"count": 1, "first": ["README.txt"]}
    assert red(source, "train") == [*range(0, 14, 2), *range(1, 14, 2)]
    assert source.labels("train").tolist() == [0] * 7 + [1] * 7
    assert red(source, "evaluation") == [14, 16, 18, 15, 17, 19]


def test_open_zip__classes_only(store, classes):
    report, source = store(classes())
    assert report["splits"]["rule"] == "a fifth of each class, seed 0"
    assert report["splits"]["train"] == [{"file": "pets.zip", "rows": 16}]
    values = red(source, "train") + red(source, "evaluation")
    labels = [*source.labels("train"), *source.labels("evaluation")]
    assert sorted(values) == list(range(20))
    assert [value % 2 for value in values] == labels


@pytest.mark.parametrize("top", ["pets/", "train/", "pets/train/"])
def test_open_zip__ignores_a_top_folder_and_system_files(store, classes, top):
    left = {f"__MACOSX/{top}cat/._1.png": b"x", f"{top}.DS_Store": b"x", f"{top}cat/Thumbs.db": b"x", top: b""}
    report, _ = store(left | classes(top))
    assert (report["train_size"], report["evaluation_size"]) == (16, 4)
    assert report["ignored"]["count"] == 0


def test_open_zip__the_same_however_it_was_zipped(store, classes, tmp_path):
    entries = classes()
    report, source = store(entries)
    images = red(source, "train")
    (tmp_path / "ds_1").rename(tmp_path / "first")
    again, source = store(dict(reversed(entries.items())))
    assert red(source, "train") == images
    assert again | {"digest": ""} == report | {"digest": ""}


def test_open_zip__test_beside_validation_is_not_read(store, classes):
    entries = (
        classes("train/", rows=range(12)) | classes("valid/", rows=range(12, 16)) | {"test/cow/1.png": b"no image"}
    )
    report, _ = store(entries)
    assert report["splits"]["unused"] == ["test"]
    assert report["class_names"] == ["cat", "dog"]


def test_open_zip__classes_that_are_numbers(store, classes):
    report, _ = store(classes(names=("10", "9", "1")))
    assert report["class_names"] == ["1", "9", "10"]


def test_open_zip__names_in_any_script(store, classes):
    report, _ = store(classes(names=("猫", "собака", "কুকুর")))
    assert report["class_names"] == ["собака", "কুকুর", "猫"]


def test_open_zip__a_class_with_one_image_trains(store, classes, image_bytes):
    report, _ = store(classes(rows=range(19)) | {"axolotl/1.png": image_bytes[19]})
    assert report["images_per_class"]["train"][0] == 1
    assert report["images_per_class"]["evaluation"][0] == 0


def test_open_zip__duplicates(store, classes, image_bytes):
    entries = classes("train/", rows=range(14)) | classes("val/", rows=range(14, 20))
    report, _ = store(entries | {"train/cat/again.png": image_bytes[0], "val/cat/x.png": image_bytes[0]})
    assert report["duplicates"] == {"train": 1, "evaluation": 0, "across": 1}


def test_open_zip__one_class(refused, classes):
    refused(classes(names=("cat",)), r"All 20 of the images have the same label in the names of the folders \('cat'\)")


def test_open_zip__case_clash(refused, classes):
    refused(classes(names=("Cat", "cat")), "'Cat' and 'cat' differ only in case or spaces")
    refused(classes("train/", names=("Cat", "dog")) | classes("val/"), "'Cat' and 'cat' differ only in case or spaces")


def test_open_zip__class_that_is_not_trained(refused, classes):
    entries = classes("train/") | classes("val/", names=("cat", "cow", "emu"))
    refused(entries, r"2 classes have evaluation images, but no training images \('cow', 'emu'\)")


def test_open_zip__class_that_is_not_evaluated(store, classes):
    report, _ = store(classes("train/", names=("cat", "cow")) | classes("val/", names=("cat",)))
    assert report["images_per_class"]["evaluation"] == [20, 0]


@pytest.mark.parametrize("entries", [{}, {"cat/": b""}, {"a/train.parquet": b"PAR1"}, {"notes.txt": b"x"}])
def test_open_zip__no_image(refused, entries):
    refused(entries, "The ZIP holds no image")


def test_open_zip__beside_other_files(classes, tmp_path, write_parquet, image_bytes, two_classes):
    table = UploadedFile(write_parquet(tmp_path / "b", image_bytes, two_classes), "b.parquet")
    path = tmp_path / "a"
    path.write_bytes(zipped(classes()))
    for files in ([UploadedFile(path, "a.zip"), table], [UploadedFile(path, "a.zip")] * 2):
        with pytest.raises(InvalidDatasetError, match=r"a\.zip is a ZIP beside other files: send one ZIP"):
            convert(files, tmp_path / "ds_2", max_pixels=100)


def test_open_zip__limit_on_entries(store, refused, classes):
    refused(classes(), "more than the 19 entries allowed", max_entries=19)
    store(classes(), max_entries=20)


@pytest.fixture
def broken(classes, image_bytes):
    """Return two splits with three images that cannot be used, and a file that is not an image."""
    entries = classes("train/", rows=range(14)) | classes("val/", rows=range(14, 20))
    entries |= {"train/cat/00.png": image_bytes[0][:40], "train/dog/01.png": b"no image", "val/cat/14.png": b""}
    return entries | {"train/dog/x.gif": b"GIF89a"}


def test_open_zip__broken_images_are_named(refused, broken):
    message = (
        r"train: 3 of 15 images cannot be used: train/cat/00\.png: (broken|not a).*; train/dog/01\.png: not a JPEG, "
        r"PNG or WebP image; train/dog/x\.gif: not a JPEG.* image\. Repair or remove them, or send allow_broken=true"
    )
    refused(broken, message)


def test_open_zip__broken_images_are_left_out(store, broken, tmp_path):
    report, source = store(broken, allow_broken=True)
    assert report["images_per_class"] == {"train": [6, 6], "evaluation": [2, 3]}
    assert report["broken"]["count"] == 4
    assert report["broken"]["first"][1:] == [
        "train: train/dog/01.png: not a JPEG, PNG or WebP image",
        "train: train/dog/x.gif: not a JPEG, PNG or WebP image",
        "val: val/cat/14.png: empty",
    ]
    assert red(source, "train") == [2, 4, 6, 8, 10, 12, 3, 5, 7, 9, 11, 13]
    assert source.labels("evaluation").tolist() == [0, 0, 1, 1, 1]
    (tmp_path / "ds_1").rename(tmp_path / "first")
    again, _ = store(broken, allow_broken=True)
    assert again["digest"] == report["digest"]


def test_open_zip__only_the_first_broken_images_are_named(store, classes):
    entries = classes() | {f"cat/x{row}.jpg": b"?" for row in range(50)}
    report, _ = store(entries, allow_broken=True)
    assert (report["broken"]["count"], len(report["broken"]["first"])) == (50, 20)


def test_open_zip__no_usable_image(refused, classes):
    refused(dict.fromkeys(classes("train/"), b"?") | classes("val/"), "no image that can be used", allow_broken=True)
    refused(classes("train/") | dict.fromkeys(classes("val/"), b"?"), "has 0 images", allow_broken=True)
    lost = {name: b"?" if "dog" in name else content for name, content in classes("train/").items()}
    refused(lost | classes("val/"), "All 10 training images have the same label", allow_broken=True)


def test_open_zip__an_entry_with_a_wrong_size(store, refused, classes, image_bytes):
    entries = [{"name": name.encode(), "content": content} for name, content in classes().items()]
    lies = {"name": b"cat/lie.png", "content": deflated(image_bytes[0] + bytes(1 << 20)), "method": 8, "size": 90}
    content = crafted([*entries, lies])
    refused(content, r"1 of 21 images cannot be used: cat/lie\.png: larger than the ZIP says\.")
    report, _ = store(content, allow_broken=True)
    assert report["broken"]["first"] == ["cat/lie.png: larger than the ZIP says"]


def test_open_zip__manifest(store, image_bytes):
    rows = "".join(f"images/{row}.png,{'odd' if row % 2 else 'even'}\n" for row in range(20))
    entries = {f"images/{row}.png": image_bytes[row] for row in range(20)}
    report, source = store(entries | {"labels.csv": f"file,target\n{rows}".encode(), "images/more.png": b"?"})
    assert report["class_names"] == ["even", "odd"]
    assert report["columns"] == {"image": "file", "label": "target"}
    assert report["ignored"]["first"] == ["images/more.png", "labels.csv"]
    assert {value % 2 == label for value, label in zip(red(source, "train"), source.labels("train"), strict=True)} == {
        True
    }


def test_open_zip__manifest_with_splits_in_a_wrapping_folder(store, image_bytes):
    rows = "".join(f"{row}.png,{row % 2},{'train' if row < 12 else 'test'}\n" for row in range(20))
    entries = {f"pets/{row}.png": image_bytes[row] for row in range(20)}
    report, source = store(entries | {"pets/metadata.csv": f"file_name,label,split\n{rows}".encode()})
    assert report["splits"]["rule"] == "manifest"
    assert sorted(red(source, "evaluation")) == list(range(12, 20))


@pytest.mark.parametrize("top", ["", "pets/"])
def test_open_zip__as_hugging_face_lays_out_an_image_folder(store, image_bytes, top):
    entries = {}
    for split, rows in (("train", range(12)), ("validation", range(12, 20))):
        entries |= {f"{top}{split}/{row}.png": image_bytes[row] for row in rows}
        listed = "\n".join(f'{{"file_name": "{row}.png", "label": {row % 2}}}' for row in rows)
        entries[f"{top}{split}/metadata.jsonl"] = listed.encode()
    report, source = store(entries)
    assert report["splits"]["train"] == [{"file": "train", "rows": 12}]
    assert sorted(red(source, "evaluation")) == list(range(12, 20))


def test_open_zip__several_manifests(refused, classes):
    refused(classes() | {"labels.csv": b"", "train.jsonl": b""}, "several manifests .*: keep one")


def test_open_zip__manifest_that_cannot_be_unpacked(refused, classes):
    entries = [{"name": name.encode(), "content": content} for name, content in classes().items()]
    lies = {"name": b"labels.csv", "content": b"file,label", "crc": 1}
    refused(crafted([*entries, lies]), "labels.csv cannot be read: it is damaged in the ZIP")


def test_open_zip__manifest_of_files_elsewhere(refused, classes):
    refused(classes() | {"labels.csv": b"file,label\n/etc/passwd,1\n"}, "not in the ZIP")
