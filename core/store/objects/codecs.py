"""Dataclasses of arrays, stored as folders: `<field>.npy` for each array, `meta.json` for the other fields.

Loading never unpickles. Arrays are memory maps, so that a task reads only the frames that it works on.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Record = TypeVar("Record")


def save(folder: Path, record: Any) -> None:  # noqa: ANN401 - any dataclass instance
    """Write a dataclass of arrays and JSON values into a new or empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            np.save(folder / f"{field.name}.npy", value, allow_pickle=False)
        else:
            meta[field.name] = value
    (folder / "meta.json").write_text(json.dumps(meta))


def load_array(folder: Path, name: str) -> NDArray[Any]:
    """Read one array of a record that `save` wrote, as a read-only memory map.

    Raises:
        FileNotFoundError: the folder has no such array.
    """
    array: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


def load(folder: Path, kind: type[Record]) -> Record:
    """Read a record that `save` wrote. Its arrays are read-only memory maps.

    Args:
        folder: folder that `save` wrote.
        kind: dataclass of the record.


    Raises:
        FileNotFoundError: the folder has no such record.
    """
    meta = json.loads((folder / "meta.json").read_text())
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name in meta:
            value = meta[field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
        else:
            values[field.name] = load_array(folder, field.name)
    return kind(**values)
