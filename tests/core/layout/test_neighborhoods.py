import sys
from importlib import import_module

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from core.domain.layouts import LAYOUTS
from core.domain.spec import AlignSpec, ProjectSpec
from core.errors import InvalidSpecError
from core.layout.axes import pca
from core.layout.project import project_frames

pytestmark = pytest.mark.filterwarnings("ignore::Warning:umap", "ignore::Warning:numba", "ignore::Warning:sklearn")
NEIGHBORHOODS = [name for name, method in LAYOUTS.items() if method.is_neighbor_based]
NEEDY = [(name, method.package_module) for name, method in LAYOUTS.items() if method.package]


def clusters(n_frames: int, *, n_points: int = 120, n_dims: int = 20) -> list[np.ndarray]:
    """Return three clusters that separate."""
    rng = np.random.default_rng(0)
    middles = 6 * np.linalg.qr(rng.normal(size=(n_dims, 3)))[0].T
    cloud = rng.normal(size=(n_points, n_dims))
    labels = np.arange(n_points) % 3
    return [(cloud + share * middles[labels]).astype(np.float32) for share in np.linspace(0.5, 1, n_frames)]


def laid_out(frames: list[np.ndarray], method: str, **options: int) -> np.ndarray:
    spec = ProjectSpec(method=method, neighbors=10, **options)
    return project_frames(frames, project=spec, align=AlignSpec()).points


@pytest.mark.parametrize("method", NEIGHBORHOODS)
def test_neighborhoods(method: str) -> None:
    frames = clusters(3)
    points = laid_out(frames, method)
    assert points.dtype == np.float32
    kept = [trustworthiness(x, y, n_neighbors=10, metric="cosine") for x, y in zip(frames, points, strict=True)]
    assert min(kept) > 0.8
    assert (points == laid_out(frames, method)).all()


@pytest.mark.parametrize("method", NEIGHBORHOODS)
def test_neighborhoods__a_warm_start_is_kept(method: str) -> None:
    first, second = clusters(2)
    spec = ProjectSpec(method=method, neighbors=10)
    lay_out = import_module(f"core.layout.methods.{method}").lay_out
    before = np.asarray(lay_out(first, start=pca(first)[0], warm=False, spec=spec))[:, ::-1] * [1, -1]
    after = lay_out(second, start=before.astype(np.float32), warm=True, spec=spec)
    for axis in range(2):  # a cold start would be oriented along the two axes, not like this rotated layout
        assert np.corrcoef(before[:, axis], after[:, axis])[0, 1] > 0.5


@pytest.mark.parametrize("method", NEIGHBORHOODS)
def test_neighborhoods__few_points(method: str) -> None:
    assert np.isfinite(laid_out([frame[:5] for frame in clusters(2)], method)).all()


@pytest.mark.parametrize(("method", "module"), NEEDY)
def test_neighborhoods__not_installed(monkeypatch: pytest.MonkeyPatch, method: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidSpecError, match=rf"pip install 'embedreel\[{method}\]'") as refused:
        laid_out(clusters(2), method)
    assert refused.value.field == "project.method"
