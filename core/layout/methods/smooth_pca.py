"""Every frame by axes that turn slowly; `core.layout.smoothed_pca` says how, and how slowly."""

from dataclasses import replace

import numpy as np

from core.domain.arrays import Projection
from core.domain.spec import ProjectSpec
from core.layout.frames import Frames, ProgressCallback
from core.layout.smoothed_pca import SAMPLE_ROWS, ScatterMatrices, choose, lay_out, survey
from core.measure.neighborhoods import sample_rows


def project(frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback) -> Projection:
    """Every frame by the two widest directions of the covariance smoothed over time."""
    film = survey(frames, on_frame)
    smoothing = spec.smoothing if spec.smoothing is not None else _least_smoothing(frames, film)
    projection = lay_out(frames, film, film.planes(smoothing), on_frame)
    return replace(projection, smoothing=smoothing)


def _least_smoothing(frames: Frames, film: ScatterMatrices) -> float | None:
    """The least smoothing that serves, by a sample of points, always the same ones."""
    seen, moved, before = [], [], None
    for embeddings in frames:
        some = embeddings[sample_rows(len(embeddings), most=SAMPLE_ROWS)].astype(np.float64)
        seen.append((some - film.middle) @ film.basis)
        if before is not None:
            moved.append(np.linalg.norm(some - before, axis=1))
        before = some
    return choose(film, np.stack(seen), np.array(moved, dtype=np.float32)) if moved else 0.0
