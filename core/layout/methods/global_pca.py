"""All frames by the same two axes."""

from core.domain.arrays import Projection
from core.domain.spec import ProjectSpec
from core.layout.frames import Frames, ProgressCallback
from core.layout.smoothed_pca import lay_out, survey


def project(frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback) -> Projection:  # noqa: ARG001 - no options
    """All frames by the two widest directions of their mean covariance."""
    film = survey(frames, on_frame)
    return lay_out(frames, film, film.planes(None), on_frame)
