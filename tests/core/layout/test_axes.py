import numpy as np
import pytest
import scipy.linalg

from core.layout import axes
from core.layout.axes import centre, principal_axes, upright


def cloud(n_points: int, n_dims: int, *, seed: int = 0, power: float = 1.5) -> np.ndarray:
    """Return points whose variances decrease like those of embeddings."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(n_dims, n_dims)))[0]
    return (rng.normal(size=(n_points, n_dims)) * np.arange(1, n_dims + 1) ** -power @ turn).astype(np.float32)


@pytest.mark.parametrize("shape", [(300, 20), (20, 300), (900, 400), (400, 900)])
@pytest.mark.parametrize("count", [2, 24])
def test_principal_axes__as_by_the_whole_spectrum(shape: tuple[int, int], count: int) -> None:
    centred, _ = centre(cloud(*shape))
    found = principal_axes(centred, count=count)
    count = min(count, *shape)
    values, vectors = scipy.linalg.eigh(centred.T.astype(np.float64) @ centred)
    np.testing.assert_allclose(found.variance[:2], values[::-1][:2], rtol=1e-4)
    np.testing.assert_allclose(found.variance.sum(), values[::-1][:count].sum(), rtol=1e-2)
    np.testing.assert_allclose(np.abs(np.sum(found.directions[:, :2] * vectors[:, :-3:-1], axis=0)), 1, atol=1e-3)
    np.testing.assert_allclose(found.directions.T @ found.directions, np.eye(count), atol=1e-5)
    assert found.total == pytest.approx(values.sum(), rel=1e-4)


def test_principal_axes__a_flat_spectrum_is_solved_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    centred, _ = centre(cloud(2000, 500, power=0))
    whole, solved = axes._whole, []  # noqa: SLF001 - which way was gone cannot be seen from outside
    monkeypatch.setattr(axes, "_whole", lambda *args: solved.append(1) or whole(*args))
    found = principal_axes(centred, count=2)
    values = scipy.linalg.eigvalsh(centred.T.astype(np.float64) @ centred)
    np.testing.assert_allclose(found.variance, values[:-3:-1], rtol=1e-3)
    assert solved == [1]


def test_principal_axes__a_good_start_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    centred, _ = centre(cloud(600, 400))
    cold = principal_axes(centred, count=2)
    monkeypatch.setattr(axes, "MAX_ROUNDS", 2)
    monkeypatch.delattr(axes, "_whole")
    warm = principal_axes(centred, count=2, start=cold.directions)
    np.testing.assert_allclose(warm.variance, cold.variance, rtol=1e-4)


def test_principal_axes__no_variance() -> None:
    found = principal_axes(np.zeros((500, 400), dtype=np.float32), count=2)
    assert (found.total, found.variance.tolist()) == (0, [0, 0])
    assert np.isfinite(found.directions).all()


def test_upright() -> None:
    directions = np.array([[-0.9, 0.1], [0.3, -0.5], [0.3, -0.5]])
    assert (upright(directions) == directions * [-1, -1]).all()
