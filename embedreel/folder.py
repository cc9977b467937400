"""Pack a folder of images into a temporary ZIP for an upload."""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from embedreel.sending import ProgressCallback


@contextmanager
def packed(paths: Sequence[Path], on_progress: ProgressCallback | None = None) -> Iterator[Sequence[Path]]:
    """Yield the files to send: the given files, or one temporary ZIP of the given folder.

    Args:
        paths: files, or one folder.
        on_progress: called repeatedly with the bytes packed and the total bytes.

    Raises:
        ValueError: a folder is given with other paths, or the folder has no files.
        OSError: a file cannot be read, or the ZIP cannot be written.
    """
    if not any(path.is_dir() for path in paths):
        yield paths
        return
    if len(paths) > 1:
        raise ValueError("A folder must be the only path: put all images into one folder.")
    folder = paths[0].resolve()
    with tempfile.TemporaryDirectory(prefix="embedreel-") as scratch:
        archive = Path(scratch) / f"{folder.name or 'images'}.zip"
        pack(folder, archive, on_progress)
        yield [archive]


def pack(folder: Path, archive: Path, on_progress: ProgressCallback | None = None) -> None:
    """Write the files below a folder into an uncompressed ZIP. Compression would hardly reduce the size of images.

    Files and folders whose names begin with a dot are left out. The ZIP contains no dates, so that the same files give
    the same bytes.

    Args:
        folder: the folder to pack.
        archive: the ZIP to write.
        on_progress: called repeatedly with the bytes packed and the total bytes.

    Raises:
        ValueError: the folder has no files.
        OSError: a file cannot be read, or the ZIP cannot be written.
    """
    sizes = {path: path.stat().st_size for path in files_below(folder)}
    if not sizes:
        raise ValueError(f"{folder} holds no files: name a folder with images.")
    packed_bytes, total_bytes = 0, sum(sizes.values())
    with zipfile.ZipFile(archive, "w") as target:
        for path, size in sizes.items():
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            entry.external_attr, entry.file_size = 0o644 << 16, size
            with path.open("rb") as source, target.open(entry, "w") as place:
                shutil.copyfileobj(source, place)
            packed_bytes += size
            if on_progress:
                on_progress(packed_bytes, total_bytes)


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder except hidden ones, sorted by path."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent) / name for name in names if not name.startswith(".")]
    return sorted(found)
