"""The installed version of Embedreel."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed_version() -> str:
    """Return the version of the installed package; "0" if the package is not installed."""
    try:
        return version("embedreel")
    except PackageNotFoundError:
        return "0"
