"""UMAP of each frame by umap-learn, which is an optional extra."""

import numpy as np

from core.domain.arrays import FloatArray, Projection
from core.domain.spec import ProjectSpec
from core.layout.frames import Frames, ProgressCallback
from core.layout.neighborhoods import FIRST_ROUNDS, WARM_ROUNDS, lay_out_sequentially, require_package

WARM_RATE = 0.25
"""Learning rate of later frames: enough to follow, too little to begin anew."""


def project(frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback) -> Projection:
    """Every frame by UMAP, started from the layout of the frame before."""
    return lay_out_sequentially(frames, spec, on_frame, lay_out)


def lay_out(embeddings: FloatArray, *, start: FloatArray, warm: bool, spec: ProjectSpec) -> FloatArray:
    """One frame by UMAP with cosine distance, (N, D) to (N, 2).

    umap-learn scales every start to the same square, so sizes say nothing.

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
