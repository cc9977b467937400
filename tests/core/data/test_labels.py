import pyarrow as pa
import pytest

from core.data.columns import Columns
from core.data.labels import encode_labels, refuse_single_class
from core.errors import InvalidDatasetError


def encode(*parts, kind="string", class_names=(), type_=None):
    tables = [pa.chunked_array([part], type=type_) for part in parts]
    files = [f"{index}.parquet" for index in range(len(parts))]
    indices, names = encode_labels(tables, Columns("image", "label", kind, class_names), files=files)
    return [part.tolist() for part in indices], names


def test_encode_labels__class_names_keep_their_order():
    assert encode([1, 0, 1], kind="class", class_names=("zebra", "ant")) == ([[1, 0, 1]], ("zebra", "ant"))


def test_encode_labels__integers_sorted_as_numbers():
    assert encode([10, 9, 10, 9], kind="integer") == ([[1, 0, 1, 0]], ("9", "10"))
    assert encode([2**64 - 1, 3] * 2, kind="integer", type_=pa.uint64())[1] == ("3", "18446744073709551615")


def test_encode_labels__strings_sorted_over_all_files():
    indices, names = encode(["dog", "cat", "dog"], ["ant", "dog", "ant"])
    assert names == ("ant", "cat", "dog")
    assert indices == [[2, 1, 2], [0, 2, 0]]


@pytest.mark.parametrize("type_", [pa.dictionary(pa.int8(), pa.string()), pa.large_string(), pa.string_view()])
def test_encode_labels__other_string_types(type_):
    table = pa.chunked_array([pa.array(["b", "a"]).cast(type_), pa.array(["b", "b"]).cast(type_)])
    indices, names = encode_labels([table], Columns("image", "label", "string"), files=["a"])
    assert (indices[0].tolist(), names) == ([1, 0, 1, 1], ("a", "b"))


def test_encode_labels__booleans():
    assert encode([True, False, True, True]) == ([[1, 0, 1, 1]], ("false", "true"))


@pytest.mark.parametrize("kind", ["class", "integer"])
def test_encode_labels__missing(kind):
    with pytest.raises(
        InvalidDatasetError, match=r"1\.parquet: column 'label' has no label in 2 of 4 rows, first in row 1"
    ):
        encode([0, 1], [0, None, 1, None], kind=kind, class_names=("a", "b"))


@pytest.mark.parametrize("label", [-1, 2])
def test_encode_labels__outside_of_the_class_names(label):
    message = rf"0\.parquet: column 'label' has 2 class names, but 1 rows .*first row 2 with {label}"
    with pytest.raises(InvalidDatasetError, match=message):
        encode([0, 1, label], kind="class", class_names=("a", "b"))


@pytest.mark.parametrize("kind", ["class", "integer"])
def test_encode_labels__one_class_only(kind):
    with pytest.raises(InvalidDatasetError, match=r"same label in column 'label' \('.*'\): at least two classes"):
        encode([1, 1], [1], kind=kind, class_names=("a", "b"))


def test_encode_labels__values_that_name_single_images():
    with pytest.raises(InvalidDatasetError, match="3 different values in 4 rows, so it is no class label"):
        encode(["a", "b", "c", "c"])


def test_refuse_single_class__nothing_to_refuse():
    refuse_single_class(pa.array([0, 1]).to_numpy(), ("a", "b"), place="column 'label'", split="training")


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_encode_labels__long_names(type_):
    assert encode(["a" * 400, "b"] * 3, type_=type_)[1] == ("a" * 400, "b")
    with pytest.raises(InvalidDatasetError, match="a class name in column 'label' has 402 bytes, more than the 400"):
        encode(["ä" * 201, "b"] * 3, type_=type_)


def test_encode_labels__long_names_of_the_column():
    with pytest.raises(InvalidDatasetError, match="has 401 bytes"):
        encode([0, 1], kind="class", class_names=("a", "b" * 401))
