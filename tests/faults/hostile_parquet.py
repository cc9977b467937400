"""Parquet files in the image format of Hugging Face datasets: a valid one, and hostile ones."""

import base64
import io
import json
import random
import struct

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROWS = 20
MAGIC = b"PAR1"
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(value=0, *, size=8, kind="PNG"):
    """Return an image file of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (value % 256, value * 7 % 256, 90)).save(file, kind)
    return file.getvalue()


def images(contents, paths=None):
    """Return a column of images for these files."""
    paths = paths or [None] * len(contents)
    rows = [{"bytes": content, "path": path} for content, path in zip(contents, paths, strict=True)]
    return pa.array(rows, STRUCT)


def parquet(table, **options):
    """Return the table as a Parquet file."""
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def good(contents=None):
    """Return a file that is accepted if its images are valid."""
    contents = contents or [picture(index) for index in range(ROWS)]
    labels = pa.array([index % 2 for index in range(len(contents))], pa.int64())
    return parquet(pa.table({"image": images(contents), "label": labels}))


def hostile(canary):
    """Return names and contents of files that must be refused.

    Args:
        canary: a `tests.faults.canary.Canary`, which the files name.
    """
    whole = good()
    yield from _broken(whole)
    yield from _schemas(whole)
    yield from _columns(canary)
    yield from _bombs()


def _broken(whole):
    for share in range(1, 10):
        yield f"cut after {share} tenths", whole[: len(whole) * share // 10]
        yield f"cut after {share} tenths, with an end", whole[: len(whole) * share // 10] + whole[-8:]
    for length in (0, 1, len(whole), len(whole) - 8, 2**31 - 1, 2**31, 2**32 - 1):
        yield f"metadata of {length} bytes", whole[:-8] + struct.pack("<I", length) + MAGIC
    yield "magic numbers only", MAGIC * 2
    yield "encrypted", whole[:-4] + b"PARE"
    yield "metadata of noise", whole[:-108] + bytes(random.Random(1).randbytes(100)) + whole[-8:]
    yield "metadata that nest without end", MAGIC + b"\x1c" * 100_000 + struct.pack("<I", 100_000) + MAGIC
    yield "metadata of a list of 2^31", MAGIC + _thrift_list(2**31 - 1) + MAGIC
    yield "a page that says it has 2^31 bytes", whole.replace(whole[4:8], b"\x15\x00\x15\xfe", 1)


def _schemas(whole):
    for depth in (100, 1000):
        nested = pa.array([[0]], pa.list_(pa.int64()))
        for _ in range(depth):
            nested = pa.StructArray.from_arrays([nested], ["child"])
        yield f"columns nested {depth} deep", parquet(pa.table({"image": nested, "label": [0]}))
    yield "5,000 columns", parquet(pa.table({f"column {index}": [index] for index in range(5000)}))
    yield "two columns of one name", parquet(pa.table([images([picture()]), images([picture()])], ["image", "image"]))
    yield "no columns", parquet(pa.table({}))
    yield "no rows", parquet(pa.table({"image": images([]), "label": pa.array([], pa.int64())}))
    yield "a name of 1 MB", parquet(pa.table({"x" * (1 << 20): [0]}))
    yield "names that are no UTF-8", whole.replace(b"label", b"la\xff\xfel").replace(b"image", b"im\xff\xfee")
    yield "Arrow schema of noise", _with_schema(base64.b64encode(bytes(1000)))
    yield "Arrow schema that is no base64", _with_schema(b"\xff" * 1000)


def _columns(canary):
    for path in ("/etc/passwd", str(canary.file), f"../../../{canary.folder.name}/secret.png", canary.url):
        paths = [path] * ROWS
        yield f"a path in place of images: {path}", _labelled(images([None] * ROWS, paths))
        yield f"a path and no bytes: {path}", _labelled(images([b""] * ROWS, paths))
        yield f"a path as the bytes: {path}", _labelled(images([path.encode()] * ROWS))
        yield f"an image column of strings: {path}", _labelled(pa.array(paths))
    yield "file: URL in place of images", _labelled(images([None] * ROWS, [f"file://{canary.file}"] * ROWS))
    yield "Image feature over strings", _with_features({"image": {"_type": "Image"}}, image=pa.array(["x"] * ROWS))
    yield "no class names", _with_features({"label": {"_type": "ClassLabel", "names": []}})
    yield "class names that are lists", _with_features({"label": {"_type": "ClassLabel", "names": [[["a"]]]}})
    pickled = b"cos\nsystem\n(S'touch " + str(canary.folder / "made").encode() + b"'\ntR."
    for name in (b"arrow.py_extension_type", b"arrow.json", b"arrow.opaque"):
        yield f"extension type {name.decode()} with a pickle", _extension(name, pickled)
    for name, labels in _labels():
        yield name, parquet(pa.table({"image": images([picture(index) for index in range(ROWS)]), "label": labels}))


def _labels():
    yield "labels that are missing", pa.array([None] * ROWS, pa.int64())
    yield "labels that are all different", pa.array(range(ROWS))
    yield "labels of 1 MB each", pa.array([f"{index}" * (1 << 20) for index in range(10)] * 2)
    yield (
        "labels that are no UTF-8",
        pa.Array.from_buffers(
            pa.string(),
            ROWS,
            [None, pa.py_buffer(struct.pack(f"<{ROWS + 1}i", *range(ROWS + 1))), pa.py_buffer(b"\xff" * ROWS)],
        ),
    )
    yield "labels that are times", pa.array([0] * ROWS, pa.timestamp("ns"))
    yield "labels that are NaN", pa.array([float("nan")] * ROWS)
    yield "labels that are lists", pa.array([[0], [1]] * (ROWS // 2))


def _bombs():
    """Return small files with a very large decoded size."""
    nothing = images([None])
    rows = 2_000_000
    yield (
        f"{rows:,} rows without images",
        parquet(pa.table({"image": nothing.take(pa.array([0] * rows)), "label": pa.array([0, 1] * (rows // 2))})),
    )
    padded = picture() + bytes(20 << 20)
    for compression in ("zstd", "none"):
        yield f"one image of 20 MB, 200 times in a dictionary ({compression})", _repeated(padded, 200, compression)
    yield "zeros, 200 MB in 7 KB", parquet(_table([bytes(20 << 20)] * 10), compression="zstd", use_dictionary=False)
    yield "100,000 row groups", _row_groups(100_000)
    long = pa.DictionaryArray.from_arrays(
        pa.array([0, 1] * 10, pa.int8()), pa.array(["x" * (50 << 20), "y" * (50 << 20)])
    )
    yield (
        "class names of 50 MB",
        parquet(pa.table({"image": images([picture()] * ROWS), "label": long}), compression="zstd"),
    )


def harmless():
    """Return names and contents of files that may be accepted: their unusual parts are not read."""
    yield "features that nest without end", _with_metadata(b'{"info": {"features": ' + b"[" * 200_000)


def mutated(rng):
    """Return a valid file in which some bytes are changed, cut, repeated or moved. It may be harmless."""
    return damage(good(), rng)


def damage(whole, rng):
    """Change, cut, repeat or move some of the bytes, most often in the last third."""
    content = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at, length = rng.randrange(len(content)), rng.choice([1, 1, 4, 16, 200])
        if rng.random() < 0.5:  # the metadata, which describe all other parts
            at = rng.randrange(len(content) * 2 // 3, len(content))
        match rng.randrange(6):
            case 0:
                content[at] ^= 1 << rng.randrange(8)
            case 1:
                content[at : at + length] = rng.randbytes(length)
            case 2:
                del content[at : at + length]
            case 3:
                content[at:at] = content[at : at + length]
            case 4:
                content[at : at + length] = bytes(length)
            case 5:
                content[at : at + length] = b"\xff" * length
    return bytes(content)


def _thrift_list(size):
    """Return FileMetaData whose schema declares this number of elements."""
    number = bytearray()
    while size > 127:
        number.append(size & 127 | 128)
        size >>= 7
    metadata = b"\x15\x02\x19\xfc" + bytes([*number, size]) + bytes(16)
    return metadata + struct.pack("<I", len(metadata))


def _table(contents):
    labels = [index % 2 for index in range(len(contents))]
    return pa.table({"image": images(contents), "label": pa.array(labels, pa.int64())})


def _labelled(column):
    return parquet(pa.table({"image": column, "label": [index % 2 for index in range(len(column))]}))


def _with_metadata(metadata, **columns):
    table = _table([picture(index) for index in range(ROWS)])
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return parquet(table.replace_schema_metadata({b"huggingface": metadata}))


def _with_features(features, **columns):
    return _with_metadata(json.dumps({"info": {"features": features}}).encode(), **columns)


def _with_schema(encoded):
    return parquet(_table([picture()]).replace_schema_metadata({b"ARROW:schema": encoded}), store_schema=False)


def _extension(name, content):
    storage = pa.array([index % 2 for index in range(ROWS)])
    field = pa.field(
        "label", storage.type, metadata={b"ARROW:extension:name": name, b"ARROW:extension:metadata": content}
    )
    table = pa.table([images([None] * ROWS), storage], schema=pa.schema([pa.field("image", STRUCT), field]))
    return parquet(table)


def _repeated(content, times, compression):
    """Return a file that stores one image and refers to it many times."""
    file = io.BytesIO()
    one = _table([content] * 2)
    with pq.ParquetWriter(file, one.schema, compression=compression, dictionary_pagesize_limit=1 << 30) as writer:
        writer.write_table(pa.concat_tables([one] * (times // 2)), row_group_size=times)
    return file.getvalue()


def _row_groups(number):
    file = io.BytesIO()
    table = pa.table({"label": [0]})
    with pq.ParquetWriter(file, table.schema) as writer:
        for _ in range(number):
            writer.write_table(table)
    return file.getvalue()
