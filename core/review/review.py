"""Review of a finished layout: the quality card, a comparison with the default layout, and the film's highlights."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from core.cores import in_background
from core.domain.arrays import FloatArray, FrameFacts, IntArray, NeighborGraph, OutlierScores, Projection
from core.domain.layouts import LAYOUTS, UNALIGNED
from core.domain.quality import Alternative, Highlights, QualityCard, SingleFrameTsne, json_number
from core.domain.spec import AlignSpec, ProjectSpec
from core.layout.frames import Frames, ProgressCallback, of_each
from core.layout.project import project_frames
from core.measure import motion, neighborhoods
from core.measure.card import is_better, mean, quality_card
from core.measure.highlights import FilmHistory, find_highlights
from core.measure.quality import FilmMeasurements, FilmMeasurer
from core.review.single_frame_tsne import lay_out_single_frame

DEFAULT_LAYOUT = ProjectSpec()
"""Layout with which other layouts are compared."""


@dataclass(frozen=True, slots=True)
class ReviewInputs:
    """Inputs of a review. T frames, N images, D features, C classes.

    Attributes:
        frames: embeddings, T arrays (N, D) float32.
        facts: facts of each frame, T of them.
        projection: the film's layout, aligned.
        scores: outlier scores, (T, N).
        neighbors: nearest neighbours in the representation of the evaluated points.
        labels: (N,) int64, true class of each image.
        class_names: C names.
    """

    frames: Frames
    facts: Sequence[FrameFacts]
    projection: Projection
    scores: OutlierScores
    neighbors: NeighborGraph
    labels: IntArray
    class_names: Sequence[str]


def review(
    film: ReviewInputs,
    *,
    project: ProjectSpec,
    align: AlignSpec,
    on_frame: ProgressCallback = lambda _done, _total: None,
) -> tuple[QualityCard, Highlights]:
    """Measure a film.

    If the film does not have the default layout, the default layout is also computed. The card states whether the
    default layout is better for this run. If the film's layout is not based on neighbours, t-SNE of the last frame is
    computed too.

    Args:
        film: inputs of the review.
        project: method and options of the film's projection.
        align: method and options of the film's alignment.
        on_frame: see `ProgressCallback`.

    Returns:
        The quality card and the highlights.
    """
    measurer = FilmMeasurer(
        film.projection,
        film.neighbors,
        labels=film.labels,
        n_classes=len(film.class_names),
        facts=film.facts,
    )
    with in_background(partial(_single_frame_tsne, film, project)) as single_frame_tsne:
        for done, seen in enumerate(of_each(film.frames, measurer.measure), start=1):
            measurer.add(seen)
            on_frame(done, len(film.frames))
        measured = measurer.finish()
        closer_look = single_frame_tsne()
    n_rows, k = film.neighbors.indices.shape[1:]
    card = quality_card(
        measured.motion,
        measured.frames,
        k=k,
        points=n_rows,
        method=_called(project, align),
        alternatives=[] if (project, align.method) == (DEFAULT_LAYOUT, UNALIGNED) else [_alternative(film, measured)],
        closer_look=closer_look,
    )
    history = FilmHistory(
        film.facts, film.labels, film.class_names, film.scores.distance, measured.moved, measured.mixing
    )
    return card, Highlights(highlights=tuple(find_highlights(history)))


def _single_frame_tsne(film: ReviewInputs, project: ProjectSpec) -> SingleFrameTsne | None:
    """Compare the last frame's layout with t-SNE; None if the film's layout is based on neighbours itself."""
    if LAYOUTS[project.method].is_neighbor_based:
        return None
    return lay_out_single_frame(film.frames[-1], film.projection.points[-1], frame=len(film.frames) - 1)


def _alternative(film: ReviewInputs, measured: FilmMeasurements) -> Alternative:
    """Lay out the same frames by the default layout, and compare it with the film's layout.

    The comparison uses Pearson correlation of motion and mean trustworthiness.
    """
    align = AlignSpec(method=LAYOUTS[DEFAULT_LAYOUT.method].usual_alignment)
    points = project_frames(film.frames, project=DEFAULT_LAYOUT, align=align).points
    rows = film.neighbors.rows

    def trusted(index: int, embeddings: FloatArray) -> float:
        graph = np.asarray(film.neighbors.indices[index], dtype=np.int64)
        return neighborhoods.faithfulness(embeddings, points[index], neighbors=graph, rows=rows).trustworthiness

    trust = list(of_each(film.frames, trusted))
    shown = motion.step_lengths(points[:, rows])
    found = json_number(motion.pearson(measured.steps, shown)), json_number(float(np.mean(trust)))
    own = measured.motion.pearson, json_number(mean(frame.trustworthiness for frame in measured.frames))
    return Alternative(
        method=DEFAULT_LAYOUT.method, pearson=found[0], trustworthiness=found[1], better=is_better(own, found)
    )


def _called(project: ProjectSpec, align: AlignSpec) -> str:
    return project.method if align.method == UNALIGNED else f"{project.method}, {align.method}"
