"""Comparisons: which runs can be compared, and the measured similarity of their representations."""

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
"""Name of the file with the `RepresentationSimilarity` in the artifact of a comparison."""
FEWEST, MOST = 2, 4
"""Smallest and largest number of runs of a comparison. Four panels are legible in one film; the number is a choice."""


class RepresentationSimilarity(Frozen):
    """Similarity of the representations of the runs at their last checkpoints."""

    cka: Annotated[
        tuple[tuple[Number, ...], ...],
        Field(
            description="Linear centred kernel alignment (CKA) of each pair of runs. Rows and columns are in the "
            "order of `runs`. 1: equal up to rotation and scale; near 0: unrelated."
        ),
    ]


def compare(runs: Sequence[ComparedRun], *, name: str, render: RenderSpec) -> RunSpec:
    """Return the spec of a comparison.

    Args:
        runs: the compared runs, in the order of their panels.
        name: title of the film.
        render: how the film is drawn.

    Raises:
        InvalidSpecError: the runs do not show the same images, a run is a comparison, or a run is named twice.
    """
    first = runs[0]
    for place, one in enumerate(runs):
        if one.spec.compared:
            raise InvalidSpecError(f"{one.run} is a comparison. Name the runs that it shows.", field=_at(place))
        if one.run in {other.run for other in runs[:place]}:
            raise InvalidSpecError(f"{one.run} is named twice. Name each run once.", field=_at(place))
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
    """Return the fields that decide which images are shown: name, value of `one`, value of `other`."""
    return [
        ("dataset", one.dataset, other.dataset),
        ("the dataset's digest", *_as_known(one.pinned.dataset_digest, other.pinned.dataset_digest)),
        ("capture.probe_size", one.capture.probe_size, other.capture.probe_size),
        ("train.seed", one.train.seed, other.train.seed),
    ]


def _as_known(one: str, other: str) -> tuple[str, str]:
    """Drop both commit hashes if either run was accepted before its dataset was pinned."""
    if any(digest.endswith(f"@{UNRESOLVED}") for digest in (one, other)):
        return one.rpartition("@")[0], other.rpartition("@")[0]
    return one, other


def _at(place: int) -> str:
    return f"runs.{place}"
