"""Choose where `make` installs PyTorch from. Standard library only: it runs before anything is installed.

PyPI's build for Linux brings CUDA's libraries, several gigabytes that a machine without an NVIDIA driver cannot use.
Such a machine takes the CPU build from PyTorch's own index if that answers within seconds and lists the pinned version.

    python3 torch_index.py    prints the address of the index to use besides PyPI, or nothing; standard error says why
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
"""How long the index may take altogether, name resolution included."""


def choose(
    environment: Mapping[str, str], *, system: str, machine: str, driver: bool, version: str, cpu_index: str = CPU_INDEX
) -> tuple[str, str]:
    """Choose the index to use besides PyPI.

    Args:
        environment: `TORCH_INDEX`, even an empty one, is the user's choice.
        system: as `platform.system()` names it.
        machine: as `platform.machine()` names it.
        driver: whether an NVIDIA driver is installed.
        version: the pinned version of torch, without a local suffix.
        cpu_index: the index of CPU builds.

    Returns:
        The address of the index, empty for PyPI alone, and the reason in words.
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
    """What keeps the index from serving the CPU wheel of this version for this machine; empty if nothing does."""
    pages: list[str] = []
    troubles: list[str] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(f"{index}/torch/", timeout=seconds) as answer:  # noqa: S310 - the address is ours
                pages.append(urllib.parse.unquote(answer.read().decode()))
        except (OSError, ValueError) as error:
            troubles.append(f"does not answer ({error})")

    reader = threading.Thread(target=fetch, daemon=True)  # a resolver's own time limit may be minutes
    reader.start()
    reader.join(seconds)
    if pages:
        wheel = rf"torch-{re.escape(version)}\+cpu-cp{sys.version_info[0]}{sys.version_info[1]}-[\w.-]*{machine}\.whl"
        return "" if re.search(wheel, pages[0]) else f"has no torch {version} for this Python on {machine}"
    return troubles[0] if troubles else f"does not answer within {seconds:.0f} seconds"


def has_driver() -> bool:
    """Whether an NVIDIA driver is installed; in WSL only its programs are visible."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def pinned_version() -> str:
    """The version of torch in constraints.txt."""
    pins = Path(__file__).with_name("constraints.txt").read_text().splitlines()
    return next(pin.removeprefix("torch==") for pin in pins if pin.startswith("torch=="))


def main() -> None:
    """Print the choice for make, and the reason for the user."""
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
