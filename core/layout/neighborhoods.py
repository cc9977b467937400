"""t-SNE and UMAP of one frame, by openTSNE and umap-learn, which are optional extras.

Both begin with the layout of the frame before, so that what is alike stays where it was, and end after fewer rounds.
They show neighbourhoods; neither distances between clusters nor shares of variance mean anything in them.
"""

from typing import Any, Protocol

import numpy as np

from core.domain.arrays import FloatArray
from core.domain.spec import ProjectSpec
from core.errors import InvalidSpecError

FIRST_ROUNDS = 500
"""Of the first frame; t-SNE with exaggeration in the first half."""
WARM_ROUNDS = 150
WARM_RATE = 0.25
"""Of UMAP: enough to follow, too little to begin anew."""
FIRST_SPREAD = 1e-4
"""Standard deviation of a first layout, as openTSNE wants it."""


class LayOut(Protocol):
    """A method of this module."""

    def __call__(self, embeddings: FloatArray, *, start: FloatArray, warm: bool, spec: ProjectSpec) -> FloatArray:
        """(N, 2), begun from `start`, which is the layout of the frame before if `warm`."""


def tsne(embeddings: FloatArray, *, start: FloatArray, warm: bool, spec: ProjectSpec) -> FloatArray:
    """t-SNE by cosine distance.

    References:
        van der Maaten, Hinton: Visualizing data using t-SNE. JMLR 9, 2008.
        Policar, Strazar, Zupan: openTSNE. doi:10.18637/jss.v109.i03.

    Raises:
        InvalidSpecError: openTSNE is not installed.
    """
    try:
        import openTSNE  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise _missing("tsne", "openTSNE") from error
    perplexity = min(float(spec.neighbors), (len(embeddings) - 1) / 3)
    affinities = openTSNE.affinity.PerplexityBasedNN(
        np.asarray(embeddings), perplexity=perplexity, metric="cosine", random_state=spec.seed, n_jobs=-1
    )
    begin = np.asarray(start, dtype=np.float64)
    if not warm:
        begin = begin / max(float(begin[:, 0].std()), np.finfo(np.float64).tiny) * FIRST_SPREAD
    layout = openTSNE.TSNEEmbedding(begin, affinities, random_state=spec.seed, n_jobs=-1)
    if not warm:
        layout = layout.optimize(n_iter=FIRST_ROUNDS // 2, exaggeration=12, momentum=0.5)
    layout = layout.optimize(n_iter=WARM_ROUNDS if warm else FIRST_ROUNDS // 2, momentum=0.8)
    return _centred(np.asarray(layout))


def umap(embeddings: FloatArray, *, start: FloatArray, warm: bool, spec: ProjectSpec) -> FloatArray:
    """UMAP by cosine distance; umap-learn scales every start to the same square, so sizes say nothing.

    References:
        McInnes, Healy, Melville: UMAP. arXiv:1802.03426.

    Raises:
        InvalidSpecError: umap-learn is not installed.
    """
    try:
        from umap import UMAP  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise _missing("umap", "umap-learn") from error
    reducer: Any = UMAP(
        n_neighbors=min(spec.neighbors, len(embeddings) - 1),
        metric="cosine",
        init=np.asarray(start, dtype=np.float32),
        n_epochs=WARM_ROUNDS if warm else FIRST_ROUNDS,
        learning_rate=WARM_RATE if warm else 1.0,
        random_state=spec.seed,
        n_jobs=1,
    )
    return _centred(reducer.fit_transform(np.asarray(embeddings)))


def _centred(points: Any) -> FloatArray:  # noqa: ANN401 - the libraries have no types
    centred: FloatArray = (points - points.mean(axis=0)).astype(np.float32)
    return centred


def _missing(method: str, library: str) -> InvalidSpecError:
    return InvalidSpecError(
        f"project.method {method} wants {library}, which this service's worker does not have: ask its operator for "
        f"pip install 'embedreel[{method}]', or take smooth_pca.",
        field="project.method",
    )
