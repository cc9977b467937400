"""What is recorded of the live model at a captured checkpoint.

A new observer is a file beside this one with its `OBSERVER`, a line in the table, and a test in tests/core/observe.
Inline capture, the offloaded embed stage and resumed runs all record by `core.observe.recorder.Recorder`.
"""

from collections.abc import Sequence
from typing import Any

from core.observe import embedding
from core.observe.observer import Observer

OBSERVERS: Sequence[Observer[Any]] = (embedding.OBSERVER,)
