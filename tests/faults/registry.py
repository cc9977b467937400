"""All faults, in the order of the table. To add a fault, add a module with a tuple FAULTS here."""

from tests.faults import (
    cancel,
    crash_at_commits,
    disk,
    drain,
    freeze,
    generated,
    hostile_files,
    kill_api,
    kill_children,
    kill_workers,
    load,
    messages,
    postgres_away,
    redis_away,
    resume,
    soak,
)

MODULES = (
    kill_workers,
    kill_children,
    freeze,
    crash_at_commits,
    kill_api,
    redis_away,
    postgres_away,
    messages,
    disk,
    cancel,
    resume,
    generated,
    hostile_files,
    load,
    drain,
    soak,
)
FAULTS = tuple(fault for module in MODULES for fault in module.FAULTS)
BY_NAME = {fault.name: fault for fault in FAULTS}
