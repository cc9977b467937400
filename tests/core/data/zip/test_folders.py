import pytest

from core.data.zip.folders import Place, by_folder, in_order, refuse_clashes, wrapping
from core.errors import InvalidDatasetError


@pytest.mark.parametrize(
    ("names", "top"),
    [
        (["pets/cat/1.jpg", "pets/dog/1.jpg"], "pets/"),
        (["pets/train/cat/1.jpg", "pets/val/dog/1.jpg"], "pets/"),
        (["train/cat/1.jpg", "train/dog/1.jpg"], "train/"),
        (["cat/1.jpg", "cat/2.jpg"], ""),
        (["cat/1.jpg", "dog/1.jpg"], ""),
        (["pets/cat/1.jpg", "2.jpg"], ""),
        (["1.jpg"], ""),
        ([], ""),
    ],
)
def test_wrapping(names, top):
    assert wrapping(names) == top


def test_wrapping__of_a_manifest():
    assert wrapping(["pets/1.jpg"], beside=["pets/labels.csv"]) == "pets/"
    assert wrapping(["pets/1.jpg"], beside=["labels.csv"]) == ""


def test_by_folder__classes():
    assert by_folder(["cat/1.jpg", "dog/1.jpg"]) == [Place(None, "cat"), Place(None, "dog")]


def test_by_folder__a_class_may_be_called_train():
    assert by_folder(["train/1.jpg", "car/1.jpg"]) == [Place(None, "train"), Place(None, "car")]


@pytest.mark.parametrize("held_out", ["val", "valid", "Validation", "test", "dev"])
def test_by_folder__splits(held_out):
    names = ["train/cat/1.jpg", f"{held_out}/cat/2.jpg"]
    assert by_folder(names) == [Place("train", "cat"), Place(held_out, "cat")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.jpg", "cat/2.jpg"], "'1.jpg' is in no folder: put each image into a folder that has the name"),
        (["train/1.jpg", "test/1.jpg"], "'train/1.jpg' is directly in the folder of the split 'train'"),
        (["train/cat/1.jpg", "train/2.jpg"], "'train/2.jpg' is directly in the folder of the split 'train'"),
        (["train/cat/kittens/1.jpg", "val/cat/2.jpg"], r"'train/cat/kittens/1\.jpg' is too deep\. Put images"),
        (["animals/cat/1.jpg", "plants/oak/1.jpg"], r"is too deep, and 'animals' is not a split \(train, val"),
        (["train/cat/1.jpg", "val/cat/1.jpg", "more/cat/1.jpg"], "'train/cat/1.jpg' is too deep, and"),
        (["cat/1.jpg", "dog/a/b/c/1.jpg"], "'dog/a/b/c/1.jpg' is too deep"),
    ],
)
def test_by_folder__refused(names, message):
    with pytest.raises(InvalidDatasetError, match=message):
        by_folder(names)


@pytest.mark.parametrize("labels", [("Cat", "cat"), ("STRASSE", "straße"), ("cat", "cat "), ("Ω", "ω")])
def test_refuse_clashes(labels):
    refuse_clashes([labels[0], "dog"])
    with pytest.raises(InvalidDatasetError, match="differ only in case or spaces"):
        refuse_clashes([*labels, "dog"])


def test_in_order__numeric_only_if_all_are_numbers():
    assert in_order(["10", "9", "b"]) == ["10", "9", "b"]
    assert in_order(["10", "9", "010"]) == ["9", "010", "10"]
