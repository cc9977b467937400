"""Choose the package index from which `make` installs PyTorch.

PyPI's build for Linux contains several gigabytes of CUDA libraries. A machine without an NVIDIA driver cannot use them.
On such a machine, the CPU build from PyTorch's own index is chosen, if that index responds within PATIENCE_SECONDS and
lists the pinned version. This module uses the standard library only, because it runs before anything is installed.

    python3 torch_index.py    prints the URL of the index to use besides PyPI, or an empty line; the reason goes to
                              standard error
"""

import os
import platform
import re
import shutil
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE_SECONDS = 5.0
"""Time limit for the response of the index, name resolution included. Chosen by hand; not measured."""


def choose(
    environment: Mapping[str, str], *, system: str, machine: str, driver: bool, version: str, cpu_index: str = CPU_INDEX
) -> tuple[str, str]:
    """Choose the index to use besides PyPI.

    Args:
        environment: environment variables. `TORCH_INDEX` overrides the choice; if it is empty, PyPI alone is used.
        system: operating system, as from `platform.system()`.
        machine: architecture, as from `platform.machine()`.
        driver: True if an NVIDIA driver is installed.
        version: pinned version of torch, without a local suffix.
        cpu_index: URL of the index of CPU builds.

    Returns:
        URL of the index, empty for PyPI alone; and the reason, as the end of the sentence "PyTorch ...".
    """
    if "TORCH_INDEX" in environment:
        index = environment["TORCH_INDEX"]
        return index, f"from {index or 'PyPI'}, as TORCH_INDEX says"
    if system != "Linux":
        return "", f"from PyPI, whose build for {system} has no CUDA libraries"
    if driver:
        return "", "with CUDA from PyPI, since this machine has an NVIDIA driver"
    trouble = look_for_wheel(cpu_index, version=version, machine=machine)
    if trouble:
        return "", f"with CUDA from PyPI, several gigabytes larger than the CPU build: {cpu_index} {trouble}"
    return cpu_index, f"for CPUs from {cpu_index}, since this machine has no NVIDIA driver"


def look_for_wheel(index: str, *, version: str, machine: str, seconds: float = PATIENCE_SECONDS) -> str:
    """Check that an index lists the CPU wheel of a version of torch for this Python.

    Args:
        index: URL of the index.
        version: version of torch, without a local suffix.
        machine: architecture, as from `platform.machine()`.
        seconds: time limit.

    Returns:
        Empty if the index lists the wheel. Otherwise the reason, as the end of a sentence that begins with the URL.
    """
    pages: list[str] = []
    troubles: list[str] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(f"{index}/torch/", timeout=seconds) as answer:  # noqa: S310 - the URL is a constant or a test's
                pages.append(urllib.parse.unquote(answer.read().decode()))
        except (OSError, ValueError) as error:
            troubles.append(f"does not answer ({error})")

    reader = threading.Thread(target=fetch, daemon=True)  # the time limit of name resolution may be minutes
    reader.start()
    reader.join(seconds)
    if pages:
        wheel = rf"torch-{re.escape(version)}\+cpu-cp{sys.version_info[0]}{sys.version_info[1]}-[\w.-]*{machine}\.whl"
        return "" if re.search(wheel, pages[0]) else f"has no torch {version} for this Python on {machine}"
    return troubles[0] if troubles else f"does not answer within {seconds:.0f} seconds"


def has_driver() -> bool:
    """Return True if an NVIDIA driver is installed. In WSL, only the program nvidia-smi shows that."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def pinned_version() -> str:
    """Return the version of torch in constraints.txt."""
    pins = Path(__file__).with_name("constraints.txt").read_text().splitlines()
    return next(pin.removeprefix("torch==") for pin in pins if pin.startswith("torch=="))


def main() -> None:
    """Print the URL to standard output, for make. Print the reason to standard error, for the user."""
    index, reason = choose(
        os.environ,
        system=platform.system(),
        machine=platform.machine(),
        driver=has_driver(),
        version=pinned_version(),
    )
    print(f"PyTorch {reason}.", file=sys.stderr)
    print(index)


if __name__ == "__main__":
    main()
