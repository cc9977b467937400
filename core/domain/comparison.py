"""Several runs beside each other: what can be compared, and what is told of it."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from core.domain.fitting import refuse_unknown_trails
from core.domain.frozen import Frozen
from core.domain.hub_dataset import UNRESOLVED
from core.domain.quality import Number
from core.domain.spec import ComparedRun, RenderSpec, RunSpec
from core.errors import InvalidSpecError

SIMILARITY_FILE = "likeness.json"
"""Of the artifact of a comparison's film: a `Likeness`."""
FEWEST, MOST = 2, 4
"""Runs of a comparison."""


class RepresentationSimilarity(Frozen):
    """How much alike the runs' representations are at their ends."""

    cka: Annotated[
        tuple[tuple[Number, ...], ...],
        Field(
            description="Linear centred kernel alignment of each run (rows) with each (columns), in the runs' order: "
            "1, alike up to rotation and scale; near 0, nothing in common."
        ),
    ]


def compare(runs: Sequence[ComparedRun], *, name: str, render: RenderSpec) -> RunSpec:
    """The spec of a comparison.

    Args:
        runs: in the order in which they are shown.
        name: the film's title.
        render: how it is drawn.

    Raises:
        InvalidSpecError: the runs show no images in common.
    """
    first = runs[0]
    for place, one in enumerate(runs):
        if one.spec.compared:
            raise InvalidSpecError(f"{one.run} is a comparison itself: name the runs that it shows.", field=_at(place))
        if one.run in {other.run for other in runs[:place]}:
            raise InvalidSpecError(f"{one.run} is there twice: name each run once.", field=_at(place))
        for field, mine, its in _probe(one.spec, first.spec):
            if mine != its:
                raise InvalidSpecError(
                    f"{one.run} and {first.run} do not show the same images: {field} is {mine!r} and {its!r}. Runs can "
                    "be compared that have the same dataset, capture.probe_size and train.seed.",
                    field=_at(place),
                )
    refuse_unknown_trails(render, first.spec.capture)
    capture = first.spec.capture.model_copy(update={"frames": max(one.spec.capture.frames for one in runs)})
    changes = {"name": name, "capture": capture, "render": render, "compared": tuple(runs)}
    return first.spec.model_copy(update=changes)


def _probe(one: RunSpec, other: RunSpec) -> list[tuple[str, object, object]]:
    """What decides which images are shown."""
    return [
        ("dataset", one.dataset, other.dataset),
        ("the dataset's digest", *_as_known(one.pinned.dataset_digest, other.pinned.dataset_digest)),
        ("capture.probe_size", one.capture.probe_size, other.capture.probe_size),
        ("train.seed", one.train.seed, other.train.seed),
    ]


def _as_known(one: str, other: str) -> tuple[str, str]:
    """Without commits where one was not known yet: a source stays bound to the one that is loaded first."""
    if any(digest.endswith(f"@{UNRESOLVED}") for digest in (one, other)):
        return one.rpartition("@")[0], other.rpartition("@")[0]
    return one, other


def _at(place: int) -> str:
    return f"runs.{place}"
