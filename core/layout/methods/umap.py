"""UMAP of each frame by umap-learn, an optional extra."""

import numpy as np

from core.domain.arrays import FloatArray, Projection
from core.domain.spec import ProjectSpec
from core.layout.frames import Frames, ProgressCallback
from core.layout.neighborhoods import FIRST_ROUNDS, WARM_ROUNDS, lay_out_sequentially, require_package

WARM_RATE = 0.25
"""Learning rate of frames after the first. The first frame uses 1.0, umap-learn's default. A smaller value keeps each
layout close to the previous layout. Chosen by hand; not measured."""


def project(frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback) -> Projection:
    """Lay out each frame by UMAP, starting from the layout of the previous frame.

    Args:
        frames: T arrays (N, D) float32.
        spec: `neighbors` is UMAP's n_neighbors; `seed` seeds umap-learn.
        on_frame: see `ProgressCallback`.

    Returns:
        Points (T, N, 2) float32, each frame centred. Both variances are NaN.
    """
    return lay_out_sequentially(frames, spec, on_frame, lay_out)


def lay_out(embeddings: FloatArray, *, start: FloatArray, warm: bool, spec: ProjectSpec) -> FloatArray:
    """Lay out one frame by UMAP with cosine distance.

    umap-learn scales every initial layout to the same square. The sizes of two layouts are therefore not comparable.

    Args:
        embeddings: (N, D) float32.
        start: (N, 2), initial layout.
        warm: True if `start` is the layout of the previous frame.
        spec: `neighbors` is UMAP's n_neighbors, at most N - 1; `seed` seeds umap-learn.

    Returns:
        (N, 2).

    References:
        McInnes, Healy, Melville: UMAP. arXiv:1802.03426.

    Raises:
        InvalidSpecError: umap-learn is not installed.
    """
    reducer = require_package("umap").UMAP(
        n_neighbors=min(spec.neighbors, len(embeddings) - 1),
        metric="cosine",
        init=np.asarray(start, dtype=np.float32),
        n_epochs=WARM_ROUNDS if warm else FIRST_ROUNDS,
        learning_rate=WARM_RATE if warm else 1.0,
        random_state=spec.seed,
        n_jobs=1,
    )
    points: FloatArray = reducer.fit_transform(np.asarray(embeddings))
    return points
