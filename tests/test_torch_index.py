"""The index from which `make` installs PyTorch. Index servers of the test replace PyTorch's index and PyPI."""

import contextlib
import http.server
import socket
import subprocess
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import pytest

import torch_index

ROOT = Path(__file__).resolve().parents[1]
VERSION = "2.13.0"
PYTHON_TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"


def page(*wheels):
    return "".join(f'<a href="{wheel.replace("+", "%2B")}">{wheel}</a><br>' for wheel in wheels)


def wheel_name(machine, version=f"{VERSION}+cpu"):
    return f"torch-{version}-{PYTHON_TAG}-{PYTHON_TAG}-manylinux_2_28_{machine}.whl"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def cpu_index(tmp_path):
    (tmp_path / "torch").mkdir()
    listed = page(wheel_name("x86_64"), wheel_name("aarch64"))
    (tmp_path / "torch" / "index.html").write_text(listed)
    with serving(tmp_path) as url:
        yield url


def choose(index, *, environment=(), system="Linux", machine="x86_64", driver=False, version=VERSION):
    return torch_index.choose(
        dict(environment), system=system, machine=machine, driver=driver, version=version, cpu_index=index
    )


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_choose__linux_without_a_driver_takes_the_cpu_build(cpu_index, machine):
    index, reason = choose(cpu_index, machine=machine)
    assert index == cpu_index
    assert "no NVIDIA driver" in reason


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"driver": True}, "has an NVIDIA driver"),
        ({"system": "Darwin", "machine": "arm64"}, "has no CUDA libraries"),
        ({"machine": "riscv64"}, "has no torch 2.13.0 for this Python on riscv64"),
        ({"version": "2.13.1"}, "has no torch 2.13.1"),
    ],
)
def test_choose__pypi_alone(cpu_index, case, words):
    index, reason = choose(cpu_index, **case)
    assert index == ""
    assert words in reason


@pytest.mark.parametrize("given", ["https://mirror.example/cpu", ""])
@pytest.mark.parametrize("driver", [True, False])
def test_choose__the_user_wins(cpu_index, given, driver):
    index, reason = choose(cpu_index, environment={"TORCH_INDEX": given}, driver=driver)
    assert index == given
    assert "as TORCH_INDEX says" in reason


def test_look_for_wheel__no_server():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        trouble = torch_index.look_for_wheel(
            f"http://127.0.0.1:{unused.getsockname()[1]}", version=VERSION, machine="x86_64"
        )
    assert trouble.startswith("does not answer (")


def test_look_for_wheel__a_silent_server_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        trouble = torch_index.look_for_wheel(url, version=VERSION, machine="x86_64", seconds=0.2)
    assert trouble.startswith("does not answer")


def test_look_for_wheel__an_error_page(tmp_path):
    with serving(tmp_path) as url:
        assert "404" in torch_index.look_for_wheel(url, version=VERSION, machine="x86_64")


def test_pinned_version__as_pyproject_asks():
    assert f'"torch=={torch_index.pinned_version()}"' in (ROOT / "pyproject.toml").read_text()


def recipe(*variables):
    """Return the commands that make would run to install."""
    done = subprocess.run(
        ["make", "--dry-run", "demo", "VENV=never", f"PYTHON={sys.executable}", *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_makefile__pip_is_given_the_choice():
    assert "torch_index.py) && never/bin/python -m pip install" in recipe()
    assert '${index:+--extra-index-url "$index"}' in recipe()


@pytest.mark.parametrize("given", ["https://mirror.example/cpu", ""])
def test_makefile__torch_index_reaches_the_script(tmp_path, given):
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"include {ROOT / 'Makefile'}\nshow:\n\t@{sys.executable} {ROOT / 'torch_index.py'}\n")
    command = ["make", "-s", "-f", str(makefile), "show", f"TORCH_INDEX={given}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == given
    assert "as TORCH_INDEX says" in done.stderr


def write_wheel(folder, version):
    folder.mkdir(parents=True)
    name = f"torch-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as archive:
        about = f"torch-{version}.dist-info"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    (folder / "index.html").write_text(page(name))


def test_constraints__pip_takes_the_cpu_build_of_the_pinned_version(tmp_path):
    version = torch_index.pinned_version()
    write_wheel(tmp_path / "pypi" / "torch", version)
    write_wheel(tmp_path / "cpu" / "torch", f"{version}+cpu")
    with serving(tmp_path) as url:
        options = {
            "--constraint": ROOT / "constraints.txt",
            "--dest": tmp_path / "got",
            "--index-url": f"{url}/pypi",
            "--extra-index-url": f"{url}/cpu",
        }
        pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "download", "--quiet"]
        subprocess.run(
            [*pip, "--no-deps", f"torch=={version}", *(str(word) for option in options.items() for word in option)],
            check=True,
            timeout=60,
        )
    assert [path.name for path in (tmp_path / "got").iterdir()] == [f"torch-{version}+cpu-py3-none-any.whl"]
