"""t-SNE of each frame by openTSNE, an optional extra."""

import numpy as np

from core.domain.arrays import FloatArray, Projection
from core.domain.spec import ProjectSpec
from core.layout.frames import Frames, ProgressCallback
from core.layout.neighborhoods import FIRST_ROUNDS, WARM_ROUNDS, lay_out_sequentially, require_package

FIRST_SPREAD = 1e-4
"""Standard deviation of the first coordinate of the initial layout of the first frame. openTSNE's `rescale`
uses the same value."""


def project(frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback) -> Projection:
    """Lay out each frame by t-SNE, starting from the layout of the previous frame.

    Args:
        frames: T arrays (N, D) float32.
        spec: `neighbors` is the perplexity; `seed` seeds openTSNE.
        on_frame: see `ProgressCallback`.

    Returns:
        Points (T, N, 2) float32, each frame centred. Both variances are NaN.
    """
    return lay_out_sequentially(frames, spec, on_frame, lay_out)


def lay_out(embeddings: FloatArray, *, start: FloatArray, warm: bool, spec: ProjectSpec) -> FloatArray:
    """Lay out one frame by t-SNE with cosine distance.

    The first frame has early exaggeration 12 and momentum 0.5 in the first half of its iterations. All other iterations
    have no exaggeration and momentum 0.8. The momenta are those of van der Maaten and Hinton. The exaggeration is the
    default of scikit-learn.

    Args:
        embeddings: (N, D) float32.
        start: (N, 2), initial layout.
        warm: True if `start` is the layout of the previous frame.
        spec: `neighbors` is the perplexity, at most (N - 1) / 3; `seed` seeds openTSNE.

    Returns:
        (N, 2).

    References:
        van der Maaten, Hinton: Visualizing data using t-SNE. JMLR 9, 2008.
        Policar, Strazar, Zupan: openTSNE. doi:10.18637/jss.v109.i03.

    Raises:
        InvalidSpecError: openTSNE is not installed.
    """
    open_tsne = require_package("tsne")
    perplexity = min(float(spec.neighbors), (len(embeddings) - 1) / 3)
    affinities = open_tsne.affinity.PerplexityBasedNN(
        np.asarray(embeddings), perplexity=perplexity, metric="cosine", random_state=spec.seed, n_jobs=-1
    )
    begin = np.asarray(start, dtype=np.float64)
    if not warm:
        begin = begin / max(float(begin[:, 0].std()), np.finfo(np.float64).tiny) * FIRST_SPREAD
    layout = open_tsne.TSNEEmbedding(begin, affinities, random_state=spec.seed, n_jobs=-1)
    if not warm:
        layout = layout.optimize(n_iter=FIRST_ROUNDS // 2, exaggeration=12, momentum=0.5)
    points: FloatArray = layout.optimize(n_iter=WARM_ROUNDS if warm else FIRST_ROUNDS // 2, momentum=0.8)
    return points
