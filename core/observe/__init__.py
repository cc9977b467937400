"""The table of observers: what a worker records of the live model at each captured checkpoint.

A new observer requires a module in this package with its `OBSERVER`, an entry in the table, and a test in
tests/core/observe. Inline capture, the offloaded embed stage and resumed runs all record through
`core.observe.recorder.Recorder`.
"""

from collections.abc import Sequence
from typing import Any

from core.observe import embedding
from core.observe.observer import Observer

OBSERVERS: Sequence[Observer[Any]] = (embedding.OBSERVER,)
