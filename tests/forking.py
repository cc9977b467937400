"""The fork server of a test process. A process has one fork server, and its first use determines what it imports."""

from worker import child


def warm_up() -> None:
    """Start the fork server with all modules that a child of a test needs, unless it runs already. No child imports
    torch again.
    """
    child.warm_up("worker.preload", "worker.stages", "tests.stub_stages")
