"""Global PCA: all frames have the same two axes."""

from core.domain.arrays import Projection
from core.domain.spec import ProjectSpec
from core.layout.frames import Frames, ProgressCallback
from core.layout.smoothed_pca import lay_out, survey


def project(frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback) -> Projection:  # noqa: ARG001 - no options
    """Project all frames onto the first two principal components of their mean covariance.

    Args:
        frames: T arrays (N, D) float32.
        spec: ignored.
        on_frame: see `ProgressCallback`.

    Returns:
        Points (T, N, 2) float32 and both variances (T,) float32.
    """
    film = survey(frames, on_frame)
    return lay_out(frames, film, film.planes(None), on_frame)
