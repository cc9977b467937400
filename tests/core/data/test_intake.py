import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.data import intake, stored
from core.data.ingest.__main__ import main as ingest_main
from core.data.intake import inspect_in_subprocess
from core.errors import InsufficientStorageError, InvalidDatasetError, StorageUnavailableError

ROOT = Path(intake.__file__).parents[2]


@pytest.fixture
def source(tmp_path, write_parquet, image_bytes, two_classes):
    folder = tmp_path / "upload"
    folder.mkdir()
    write_parquet(folder / "0.parquet", image_bytes, two_classes)
    write_parquet(folder / "1.parquet", image_bytes[:5], two_classes[:5])
    return folder


@pytest.fixture
def destination(tmp_path):
    folder = tmp_path / "stored"
    folder.mkdir()
    return folder / "ds_1"


def test_inspect_in_subprocess(source, destination):
    names = {"0.parquet": "train.parquet", "1.parquet": "test.parquet"}
    report = inspect_in_subprocess(source, destination, names=names, timeout_seconds=60, max_pixels=64)
    assert report == json.loads((destination / "dataset.json").read_text())
    assert report["splits"]["train"] == [{"file": "train.parquet", "rows": 20}]
    assert stored.facts_of(report).evaluation_size == 5
    assert list(destination.parent.iterdir()) == [destination]


def test_inspect_in_subprocess__an_error_is_raised(source, destination):
    (source / "0.parquet").write_bytes(b"no parquet")
    with pytest.raises(InvalidDatasetError, match=r"photos\.parquet is not a Parquet file"):
        inspect_in_subprocess(source, destination, names={"0.parquet": "photos.parquet"})
    assert list(destination.parent.iterdir()) == []


def test_inspect_in_subprocess__limit_on_pixels_reaches_the_child(source, destination):
    with pytest.raises(InvalidDatasetError, match="8 x 8 pixels, more than the 63 allowed"):
        inspect_in_subprocess(source, destination, max_pixels=63)


def test_inspect_in_subprocess__timeout(source, destination):
    left = stored.partial(destination)
    left.mkdir()
    (left / "train.arrow").write_bytes(b"half")
    with pytest.raises(InvalidDatasetError, match=r"took over 0\.05 seconds: upload fewer"):
        inspect_in_subprocess(source, destination, timeout_seconds=0.05)
    assert list(destination.parent.iterdir()) == []


def test_inspect_in_subprocess__too_much_memory(source, write_parquet, destination):
    packed = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    write_parquet(source / "2.parquet", [bytes(200 << 20)], [0], **packed)
    assert (source / "2.parquet").stat().st_size < 1 << 20
    with pytest.raises(InvalidDatasetError, match=r"needed more than 0\.75 GiB of memory"):
        inspect_in_subprocess(source, destination, memory_bytes=768 << 20)
    assert list(destination.parent.iterdir()) == []


@pytest.mark.parametrize("place", ["nowhere/ds_1", "file/ds_1"])
def test_inspect_in_subprocess__cannot_be_stored(source, tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailableError, match="The dataset cannot be stored"):
        inspect_in_subprocess(source, tmp_path / place)


def test_inspect_in_subprocess__disk_full(source, destination, monkeypatch, capsys):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    def run(command, **options):
        status = ingest_main(command[4:])
        return subprocess.CompletedProcess(command, status, capsys.readouterr().out.encode(), b"")

    monkeypatch.setattr("core.data.ingest.__main__._limit_memory", int)
    monkeypatch.setattr("core.data.ingest.__main__._convert", full)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(InsufficientStorageError, match="No space left"):
        inspect_in_subprocess(source, destination)


@pytest.fixture
def child(monkeypatch):
    """Replace the child process. It ends with this status. Returns the arguments that it was started with."""

    def end(status):
        started = {}

        def run(command, **options):
            started.update(options, command=command)
            return subprocess.CompletedProcess(command, status, b"", b"what went wrong")

        monkeypatch.setattr(subprocess, "run", run)
        return started

    return end


def test_inspect_in_subprocess__crashed(source, destination, child):
    child(-11)
    with pytest.raises(InvalidDatasetError, match="crashed or needed more than 4 GiB"):
        inspect_in_subprocess(source, destination)


def test_inspect_in_subprocess__defect(source, destination, child, monkeypatch):
    monkeypatch.setenv("EMBEDREEL_API_KEY", "secret")
    started = child(1)
    with pytest.raises(RuntimeError, match="what went wrong"):
        inspect_in_subprocess(source, destination)
    assert "secret" not in str(started)


def test_main__prints_one_json_object(source, destination):
    command = [sys.executable, "-m", "core.data.ingest", str(source), str(destination)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["ok"]["splits"]["train"] == [
        {"file": "0.parquet", "rows": 16},
        {"file": "1.parquet", "rows": 4},
    ]
    (source / "0.parquet").write_bytes(b"")
    failed = subprocess.run([*command[:-1], str(destination) + "2"], cwd=ROOT, capture_output=True, check=False)
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["error"] == {
        "type": "invalid-dataset",
        "title": "The dataset cannot be used",
        "detail": "0.parquet is empty: upload it again.",
    }


def test_imports__nothing_heavy_for_the_api():
    heavy = ("torch", "sklearn", "scipy", "transformers", "datasets", "pyarrow", "PIL", "numpy")
    code = "import sys, core.data.sources, core.data.intake; "
    code += f"print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


def test_imports__no_learning_library_in_the_child():
    modules = ("ingest.assignment", "columns", "ingest.inspect", "images", "labels", "parquet", "splits", "uploaded")
    heavy = ("torch", "sklearn", "scipy", "transformers", "datasets")
    code = f"import sys, importlib; [importlib.import_module('core.data.' + m) for m in {modules}]; "
    code += f"print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
