import numpy as np
import pytest

from core.domain.arrays import FrameFacts, ProbeSet, TrainingLog
from core.domain.formats import FORMATS
from core.domain.spec import PinnedSources, RenderSpec, RunSpec
from core.draw.colors import THEMES
from core.draw.palette import build_palette
from core.figures.figure import FigureInputs
from core.render.encode.png import write_png


@pytest.fixture
def made_up(tmp_path):
    """The inputs of the figures, for a run that improves with each checkpoint."""

    def build(*, n_classes=4, names=None, n_images=80, n_frames=3, name="A run", **render):
        spec = RenderSpec(**({"width": 480, "height": 480, "formats": tuple(FORMATS)} | render))
        names = names or tuple(f"class {label}" for label in range(n_classes))
        labels = np.arange(n_images) % len(names)
        steps = np.linspace(0, 100, n_frames).round().astype(int).tolist()
        rng = np.random.default_rng(0)

        def checkpoint(index, step):
            wrong = rng.random(n_images) >= (index + 1) / n_frames
            predictions = np.where(wrong, rng.integers(0, len(names), n_images), labels)
            return FrameFacts(step, step / 10, 2.0 - step / 100, float((predictions == labels).mean()), predictions)

        checkpoints = [checkpoint(index, step) for index, step in enumerate(steps)]
        step = np.arange(101)
        loss = np.linspace(2, 1, 101).astype(np.float32)
        film = tmp_path / "film"
        (film / "frames").mkdir(parents=True)
        palette = build_palette(1, np.zeros((0, 1, 1, 3), np.uint8), THEMES[spec.theme])
        for index in range(n_frames):
            write_png(film / "frames" / f"{index:05d}.png", np.full((6, 8), index, np.uint8), palette)
        run = RunSpec(name=name, dataset="digits", render=spec, pinned=PinnedSources(dataset_digest="digits-v1"))
        readers = {
            "film": lambda: film,
            "log": lambda: TrainingLog(step, loss, loss, loss * 0, loss * 0),
            "probe": lambda: ProbeSet(np.zeros((n_images, 8, 8, 3), np.uint8), labels, np.arange(n_images), names),
            "checkpoints": lambda: checkpoints,
        }
        return FigureInputs(run, readers)

    return build
