"""The fork server of a process of the tests. There is one a process, and its first use settles what it imports."""

from worker import child


def warm_up() -> None:
    """Start it with all that a child of any test needs, unless it runs already: no child imports torch anew."""
    child.warm_up("worker.preload", "worker.stages", "tests.stub_stages")
