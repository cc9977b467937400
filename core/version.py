"""Which version of Embedreel this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed_version() -> str:
    """As installed; "0" in a checkout that is not."""
    try:
        return version("embedreel")
    except PackageNotFoundError:
        return "0"
