from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.domain.arrays import FrameFacts, OutlierScores, ProbeSet, Projection, TrainingLog
from core.domain.spec import RenderSpec


def _log(n_steps: int) -> TrainingLog:
    step = np.arange(n_steps + 1)
    loss = (2.3 * np.exp(-3.0 * step / n_steps)).astype(np.float32)
    nothing = np.full(n_steps + 1, np.nan, dtype=np.float32)
    return TrainingLog(step, (step / 10).astype(np.float32), loss, nothing, nothing)


@pytest.fixture(scope="session")
def film_inputs() -> Callable[..., dict[str, Any]]:
    """Return a RenderSpec and the inputs of a `Scene`: classes on a circle that move apart, and grey images."""

    def build(
        *, n_points: int = 60, n_classes: int = 4, n_frames: int = 3, seed: int = 0, **spec: Any
    ) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        labels = np.arange(n_points) % n_classes
        angle = labels * 2.0 * np.pi / n_classes
        home = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        growth = np.linspace(0.5, 3.0, n_frames)[:, None, None]
        points = growth * home + 0.2 * rng.normal(size=(n_points, 2))
        steps = np.linspace(0, 100, n_frames).round().astype(int).tolist()
        grey = rng.integers(0, 256, n_points).astype(np.uint8)
        return {
            "spec": RenderSpec(**({"width": 480, "height": 480} | spec)),
            "name": "A film",
            "projection": Projection(points.astype(np.float32), *np.full((2, n_frames), 0.5, dtype=np.float32)),
            "scores": OutlierScores(*rng.random((2, n_frames, n_points)).astype(np.float32)),
            "log": _log(100),
            "probe": ProbeSet(
                np.tile(grey[:, None, None, None], (1, 8, 8, 3)),
                labels,
                np.arange(n_points),
                tuple(f"class {label}" for label in range(n_classes)),
            ),
            "embedded": [FrameFacts(step, step / 10, 1.0, step / 200 + 0.25, np.roll(labels, 1)) for step in steps],
        }

    return build
