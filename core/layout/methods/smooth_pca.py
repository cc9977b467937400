"""PCA with axes that are smoothed over time. `core.layout.smoothed_pca` has the algorithm."""

from dataclasses import replace

import numpy as np

from core.domain.arrays import Projection
from core.domain.spec import ProjectSpec
from core.layout.frames import Frames, ProgressCallback
from core.layout.smoothed_pca import SAMPLE_ROWS, ScatterMatrices, choose, lay_out, survey
from core.measure.neighborhoods import sample_rows


def project(frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback) -> Projection:
    """Project each frame onto the first two principal components of the covariance smoothed over time.

    Args:
        frames: T arrays (N, D) float32.
        spec: `smoothing` is sigma in frames; None: `choose` selects sigma.
        on_frame: see `ProgressCallback`.

    Returns:
        Points (T, N, 2) float32, both variances (T,) float32, and the smoothing that was used.
    """
    film = survey(frames, on_frame)
    smoothing = spec.smoothing if spec.smoothing is not None else _least_smoothing(frames, film)
    projection = lay_out(frames, film, film.planes(smoothing), on_frame)
    return replace(projection, smoothing=smoothing)


def _least_smoothing(frames: Frames, film: ScatterMatrices) -> float | None:
    """Select sigma at a sample of points, which is the same in every call. A film of one frame has sigma 0."""
    seen, moved, before = [], [], None
    for embeddings in frames:
        some = embeddings[sample_rows(len(embeddings), most=SAMPLE_ROWS)].astype(np.float64)
        seen.append((some - film.middle) @ film.basis)
        if before is not None:
            moved.append(np.linalg.norm(some - before, axis=1))
        before = some
    return choose(film, np.stack(seen), np.array(moved, dtype=np.float32)) if moved else 0.0
