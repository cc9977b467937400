import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data import parquet
from core.data.parquet import open_parquet, refuse_different
from core.errors import InvalidDatasetError


def test_open_parquet(write_parquet, tmp_path, image_bytes, two_classes):
    path = write_parquet(tmp_path / "0", image_bytes, two_classes, class_names=("even", "odd"), row_group_size=6)
    file = open_parquet(path, name="train.parquet")
    assert (file.name, file.rows, file.columns.class_names) == ("train.parquet", 20, ("even", "odd"))
    assert file.labels().to_pylist() == two_classes
    assert [one for batch in file.images() for one in batch.to_pylist()] == image_bytes


def test_images__plain_binary_and_struct_without_path(tmp_path, image_bytes, two_classes):
    for images in (
        pa.array(image_bytes, pa.large_binary()),
        pa.array([{"bytes": one} for one in image_bytes]),
    ):
        pq.write_table(pa.table({"image": images, "label": two_classes}), tmp_path / "a")
        file = open_parquet(tmp_path / "a", name="a")
        assert [one for batch in file.images() for one in batch.to_pylist()] == image_bytes


def test_images__missing_ones_are_null(write_parquet, tmp_path, image_bytes):
    file = open_parquet(write_parquet(tmp_path / "a", [None, image_bytes[0]], ["x", "y"]), name="a")
    assert [one for batch in file.images() for one in batch.to_pylist()] == [None, image_bytes[0]]


def test_images__large_ones_come_in_small_batches(write_parquet, tmp_path):
    large = [bytes([value]) * (3 << 20) for value in range(6)]
    path = write_parquet(tmp_path / "a", large, [0, 1] * 3, compression="none", use_dictionary=False)
    file = open_parquet(path, name="a")
    assert file.batch_rows == 2
    assert [len(batch) for batch in file.images()] == [2, 2, 2]


def test_images__a_repeated_one_is_read_in_small_batches(write_parquet, tmp_path):
    large, small = bytes(3 << 20), b"small"
    images = [large] * 7 + [None] + [small] * 4
    path = write_parquet(tmp_path / "a", images, [0, 1] * 6)
    assert path.stat().st_size < 1 << 20
    batches = list(open_parquet(path, name="a").images())
    assert [one for batch in batches for one in batch.to_pylist()] == images
    assert max(batch.nbytes for batch in batches) < parquet.BATCH_BYTES + len(large)


def test_images__paths_only(tmp_path):
    images = pa.array([{"bytes": None, "path": "/somewhere/a.png"}])
    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())])
    pq.write_table(pa.table([images.cast(schema[0].type), pa.array([1])], schema=schema), tmp_path / "a")
    with pytest.raises(InvalidDatasetError, match=r"train\.parquet: column 'image' holds paths"):
        list(open_parquet(tmp_path / "a", name="train.parquet").images())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"x\.parquet is empty"),
        (b"image,label\n", r"x\.parquet is not a Parquet file: save"),
        (b"PAR1", r"x\.parquet is damaged"),
        (b"PAR1 and no more", r"x\.parquet is cut short"),
        (b"PAR1" + b"\xff" * 20 + b"PAR1", r"x\.parquet is damaged"),
    ],
)
def test_open_parquet__no_parquet(tmp_path, content, message):
    (tmp_path / "0").write_bytes(content)
    with pytest.raises(InvalidDatasetError, match=message):
        open_parquet(tmp_path / "0", name="x.parquet")


def test_open_parquet__truncated_everywhere(write_parquet, tmp_path, image_bytes, two_classes):
    whole = write_parquet(tmp_path / "whole", image_bytes, two_classes).read_bytes()
    for length in range(5, len(whole), 97):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(InvalidDatasetError, match="cut short"):
            open_parquet(tmp_path / "cut", name="x.parquet")


def test_images__damaged_pages(write_parquet, tmp_path, image_bytes, two_classes):
    path = write_parquet(tmp_path / "a", image_bytes, two_classes, use_dictionary=False, compression="zstd")
    content = bytearray(path.read_bytes())
    content[40:400] = b"\xff" * 360
    path.write_bytes(content)
    with pytest.raises(InvalidDatasetError, match=r"x\.parquet is damaged"):
        list(open_parquet(path, name="x.parquet").images())


def test_labels__no_text(write_parquet, tmp_path, image_bytes):
    labels = pa.array([b"cat", b"\xff\xfe"] * 10).cast(pa.string(), safe=False)
    with pytest.raises(InvalidDatasetError, match=r"x\.parquet is damaged \(.*UTF8"):
        open_parquet(write_parquet(tmp_path / "a", image_bytes, labels), name="x.parquet").labels()


def test_open_parquet__no_rows(write_parquet, tmp_path):
    path = write_parquet(tmp_path / "a", [], pa.array([], pa.int64()))
    with pytest.raises(InvalidDatasetError, match=r"x\.parquet has no rows"):
        open_parquet(path, name="x.parquet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": "picture"}, r"b does not fit a: the image column is 'picture' instead of 'image'"),
        ({"label": "kind"}, "the label column is 'kind' instead of 'label'"),
        ({"class_names": ("x", "y")}, "the labels are of the kind 'class' instead of 'integer'"),
    ],
)
def test_refuse_different(write_parquet, tmp_path, image_bytes, options, message):
    labels = [0, 1] * 10
    first = open_parquet(write_parquet(tmp_path / "a", image_bytes, labels), name="a")
    other = open_parquet(write_parquet(tmp_path / "b", image_bytes, labels, **options), name="b")
    refuse_different([first, first])
    with pytest.raises(InvalidDatasetError, match=message):
        refuse_different([first, other])


def test_open_parquet__names_that_are_no_utf8(write_parquet, tmp_path, image_bytes, two_classes):
    whole = write_parquet(tmp_path / "whole", image_bytes, two_classes).read_bytes()
    (tmp_path / "0").write_bytes(whole.replace(b"label", b"la\xff\xfel"))
    with pytest.raises(InvalidDatasetError, match=r"x\.parquet has column names that are not UTF-8: rename"):
        open_parquet(tmp_path / "0", name="x.parquet")
