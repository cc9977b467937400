import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encode(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def coloured(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    return encode(Image.new("RGB", size, (value % 256, value // 256, 7)))


def features(class_names: Sequence[str], *, image: str = "image", label: str = "label") -> dict[bytes, bytes]:
    described = {image: {"_type": "Image"}, label: {"names": list(class_names), "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": described}}).encode()}


def write(
    path: Path,
    images: Sequence[bytes | None],
    labels: Sequence[Any],
    *,
    class_names: Sequence[str] | None = None,
    image: str = "image",
    label: str = "label",
    extra: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    structs = pa.array([None if one is None else {"bytes": one, "path": None} for one in images], IMAGE_TYPE)
    table = pa.table({image: structs, label: labels, **(extra or {})})
    if class_names is not None:
        table = table.replace_schema_metadata(features(class_names, image=image, label=label))
    pq.write_table(table, path, **options)
    return path


@pytest.fixture
def write_parquet() -> Callable[..., Path]:
    return write


@pytest.fixture
def encode_image() -> Callable[..., bytes]:
    return encode


@pytest.fixture
def image_bytes() -> list[bytes]:
    """Twenty different images of 8 x 8 pixels."""
    return [coloured(value) for value in range(20)]


@pytest.fixture
def two_classes() -> list[int]:
    return [value % 2 for value in range(20)]


@pytest.fixture
def gradient() -> np.ndarray:
    """(6, 4, 3) uint8. All pixels are different."""
    return np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3
