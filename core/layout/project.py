"""From D features to two axes, and the layout of a whole film."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.cores import side_by_side
from core.domain.arrays import FloatArray, Projection
from core.domain.spec import AlignSpec, ProjectSpec
from core.errors import DegenerateEmbeddingsError
from core.layout import smoothed_pca
from core.layout.align import align as align_frames
from core.layout.axes import centre, check, check_spread, principal_axes, upright
from core.layout.neighborhoods import LayOut, tsne, umap
from core.measure.neighborhoods import sample_rows

ABREAST = 4
"""Frames that are held, and worked on, at a time: the same on every machine, for they begin with the same axes."""

Made = TypeVar("Made")


class Frames(Protocol):
    """The embeddings of all checkpoints, (N, D) each, that may be gone through more than once."""

    def __len__(self) -> int:
        """How many there are."""

    def __iter__(self) -> Iterator[FloatArray]:
        """One at a time."""


ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with the number of frames done and the number to be done, over all passes."""
Projector: TypeAlias = Callable[[Frames, ProjectSpec, ProgressCallback], Projection]


def project_frames(
    frames: Frames, *, project: ProjectSpec, align: AlignSpec, on_frame: ProgressCallback = lambda _done, _total: None
) -> Projection:
    """Project each frame, then keep the frames still against each other.

    Args:
        frames: T arrays (N, D), finite; no more than ABREAST of them are held at a time.
        project: how D features become two.
        align: how the frames are aligned.
        on_frame: see `Tell`.

    Returns:
        Points (T, N, 2), and the variance that they show and could show, (T,) each.

    Raises:
        DegenerateEmbeddingsError: a frame cannot be projected or aligned; the message tells which frame.
        InvalidSpecError: the method wants a library that is not installed.
    """
    laid = PROJECTORS[project.method](frames, project, on_frame)
    points = align_frames(laid.points, method=align.method, reference=align.reference, trim=align.trim)
    return replace(laid, points=points)


def pca(embeddings: FloatArray, *, start: NDArray[Any] | None = None) -> tuple[FloatArray, float, NDArray[Any]]:
    """The two axes of greatest variance of one frame: Y = (X - mean) V, V the top eigenvectors of X'X.

    The sign of an axis is free; here the feature that weighs most on it (the first, if several weigh the same) points
    up. Axes of equal variance may be turned within their plane: any turn is as good, and the same library on the same
    machine always takes the same one. Where all points lie on a line, the second axis is zero.

    Args:
        embeddings: (N, D), finite, N and D at least 2.
        start: (D, r), axes of a frame that is much like this one.

    Returns:
        (N, 2) float32, centred, wider axis first; the share of the variance that both axes show, 0..1; and the axes
        (D, 2).

    Raises:
        DegenerateEmbeddingsError: fewer than 2 points or features, a value that is NaN or infinite, or no variance.

    References:
        Pearson: On lines and planes of closest fit to systems of points in space. doi:10.1080/14786440109462720.

    >>> points, share, _ = pca(np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0]], dtype=np.float32))
    >>> points[:, 0].tolist(), share
    ([-2.0, 0.0, 2.0], 1.0)
    """
    check(embeddings)
    check_spread(embeddings)
    centred, _ = centre(embeddings)
    axes = principal_axes(centred, count=2, start=start)
    directions = upright(axes.directions)
    points = centred @ directions.astype(np.float32)
    return points, min(1.0, float(axes.variance.sum()) / axes.total), directions


def each_by_pca(frames: Frames, spec: ProjectSpec, tell: ProgressCallback) -> Projection:  # noqa: ARG001 - it has no options
    """Every frame by its own two axes."""
    laid: list[tuple[FloatArray, float, NDArray[Any]]] = []

    def lay_out(index: int, embeddings: FloatArray) -> tuple[FloatArray, float, NDArray[Any]]:
        with _of(index):
            return pca(embeddings, start=laid[-1][2] if laid else None)

    for frame in of_each(frames, lay_out):
        laid.append(frame)
        tell(len(laid), len(frames))
    points, shares, _ = zip(*laid, strict=True)
    shown = np.array(shares, dtype=np.float32)
    return Projection(np.stack(points), shown, shown)


def by_one_plane(frames: Frames, spec: ProjectSpec, tell: ProgressCallback) -> Projection:  # noqa: ARG001 - it has no options
    """All frames by the same two axes."""
    film = _survey(frames, tell)
    return _lay_out(frames, film, film.planes(None), tell)


def by_turning_planes(frames: Frames, spec: ProjectSpec, tell: ProgressCallback) -> Projection:
    """Every frame by axes that turn slowly; `core.layout.smoothed_pca` says how, and how slowly."""
    film = _survey(frames, tell)
    smoothing = spec.smoothing if spec.smoothing is not None else _least_smoothing(frames, film)
    laid = _lay_out(frames, film, film.planes(smoothing), tell)
    return replace(laid, smoothing=smoothing)


def _survey(frames: Frames, tell: ProgressCallback) -> smoothed_pca.ScatterMatrices:
    axes: list[smoothed_pca.FrameAxes] = []

    def look(index: int, embeddings: FloatArray) -> smoothed_pca.FrameAxes:
        with _of(index):
            check(embeddings)
            return smoothed_pca.frame_axes(embeddings, start=axes[-1].axes.directions if axes else None)

    for seen in of_each(frames, look):
        axes.append(seen)
        tell(len(axes), 2 * len(frames))
    film = smoothed_pca.gather(axes)
    if not film.totals.any():
        raise DegenerateEmbeddingsError(
            "In no frame do the embeddings differ: the model has collapsed, or the probe images are all alike. "
            "Try a lower train.learning_rate, or other images."
        )
    return film


def _least_smoothing(frames: Frames, film: smoothed_pca.ScatterMatrices) -> float | None:
    """By the points that are taken as witnesses, always the same ones."""
    seen, moved, before = [], [], None
    for embeddings in frames:
        some = embeddings[sample_rows(len(embeddings), most=smoothed_pca.SAMPLE_ROWS)].astype(np.float64)
        seen.append((some - film.middle) @ film.basis)
        if before is not None:
            moved.append(np.linalg.norm(some - before, axis=1))
        before = some
    return smoothed_pca.choose(film, np.stack(seen), np.array(moved, dtype=np.float32)) if moved else 0.0


def _lay_out(
    frames: Frames, film: smoothed_pca.ScatterMatrices, planes: NDArray[np.float64], tell: ProgressCallback
) -> Projection:
    axes = (film.basis @ planes).astype(np.float32)
    points: list[FloatArray] = []

    def lay_out(index: int, embeddings: FloatArray) -> FloatArray:
        laid: FloatArray = embeddings @ axes[index] - (film.middle @ axes[index]).astype(np.float32)
        return laid

    for frame in of_each(frames, lay_out):
        points.append(frame)
        tell(len(axes) + len(points), 2 * len(axes))
    return Projection(np.stack(points), film.shown(planes).astype(np.float32), film.best.astype(np.float32))


def by_neighborhoods(frames: Frames, spec: ProjectSpec, tell: ProgressCallback) -> Projection:
    """Every frame by t-SNE or UMAP, started from the layout of the frame before, the first one from its two axes."""
    lay_out = NEIGHBORHOODS[spec.method]
    points: list[FloatArray] = []
    for index, embeddings in enumerate(frames):
        with _of(index):
            start = points[-1] if points else pca(embeddings)[0]
            check(embeddings)
            points.append(lay_out(embeddings, start=start, warm=bool(points), spec=spec))
        tell(index + 1, len(frames))
    unknown = np.full(len(points), np.nan, dtype=np.float32)
    return Projection(np.stack(points), unknown, unknown)


def of_each(frames: Frames, work: Callable[[int, FloatArray], Made]) -> Iterator[Made]:
    """What `work` makes of each frame and its number, in order.

    The first frame is worked on alone, then always ABREAST side by side: what has been made of earlier ones, if it is
    kept as it comes, can be begun with.
    """
    numbered = enumerate(frames)
    with side_by_side(ABREAST) as each:
        for count in chain([1], repeat(ABREAST)):
            made = each(lambda frame: work(*frame), islice(numbered, count))
            if not made:
                break
            yield from made


@contextmanager
def _of(index: int) -> Iterator[None]:
    """An error says of which frame it is."""
    try:
        yield
    except DegenerateEmbeddingsError as error:
        raise DegenerateEmbeddingsError(f"Frame {index}: {error.detail}") from error


NEIGHBORHOODS: Mapping[str, LayOut] = {"tsne": tsne, "umap": umap}
PROJECTORS: Mapping[str, Projector] = {
    "pca": each_by_pca,
    "global_pca": by_one_plane,
    "smooth_pca": by_turning_planes,
    **dict.fromkeys(NEIGHBORHOODS, by_neighborhoods),
}
"""By `project.method`."""
