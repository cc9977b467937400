import numpy as np
import pytest

from core.domain.arrays import FrameFacts, TrainingLog
from core.domain.spec import RenderSpec
from core.draw.colors import THEMES
from core.figures.curves import draw_figure
from core.render.panels.curve import read_curves

NOTHING = np.zeros(3, np.int64)
PHASES = [(0, "head"), (60, "all layers")]


def log_of(losses):
    steps, loss = np.arange(len(losses)), np.array(losses, np.float32)
    return TrainingLog(steps, steps.astype(np.float32), loss, loss * 0, loss * 0)


def frames_of(losses, *, last=100):
    steps = np.linspace(0, last, len(losses)).round().astype(int).tolist()
    return [FrameFacts(step, step / 10, loss, 0.5, NOTHING) for step, loss in zip(steps, losses, strict=True)]


FALLING = log_of(np.linspace(2, 1, 101))


def pixels(*, log=FALLING, losses=(2.5, 2.0, 1.5), phases=(), name="A run", **spec):
    """Return the figure in RGB."""
    curves = read_curves(log, frames_of(losses), phases=phases)
    frame, palette = draw_figure(RenderSpec(**({"width": 480, "height": 480} | spec)), name, curves)
    return palette.colors[frame]


def columns_of(picture, color):
    return np.flatnonzero((picture == np.array(color, np.uint8)).all(axis=2).any(axis=0))


def rows_of(picture, color):
    return np.flatnonzero((picture == np.array(color, np.uint8)).all(axis=2).any(axis=1))


@pytest.mark.parametrize(("width", "height"), [(320, 320), (320, 2160), (2160, 320), (960, 960), (1281, 719)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_draw_figure__sides_and_theme_and_nothing_at_the_edge(width, height, theme):
    picture = pixels(width=width, height=height, theme=theme, phases=PHASES, name="A long name " * 10)
    assert picture.shape == (height, width, 3)
    page = np.array(THEMES[theme].page, np.uint8)
    edges = (picture[:4], picture[-4:], picture[:, :4], picture[:, -4:])
    assert all((edge == page).all() for edge in edges), "something is cut off"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_draw_figure__evaluation_loss_is_above_training_loss(theme):
    colors, upper = THEMES[theme], slice(90, 280)
    picture = pixels(theme=theme, losses=(2.5, 2.5, 2.5))[upper]
    worse, trained = rows_of(picture, colors.accent), rows_of(picture, colors.ink)
    assert worse.max() < trained.min()
    assert len(rows_of(pixels(theme=theme, losses=(2.5, 1.0, 0.2))[upper], colors.accent)) > 100


def test_draw_figure__accuracy_has_a_panel_of_its_own():
    picture = pixels(losses=(np.nan,) * 3)
    rows = rows_of(picture, THEMES["light"].accent)
    assert rows.min() > 280, "there is no evaluation loss"
    beside = pixels(losses=(np.nan,) * 3, width=1000, height=330)
    assert columns_of(beside, THEMES["light"].accent).min() > 500


def test_draw_figure__an_evaluation_loss_beyond_the_training_loss_fits():
    rows = rows_of(pixels(losses=(2.0, 5.0, 9.0))[75:280], THEMES["light"].accent)
    assert len(rows) > 100
    assert rows.min() > 10, "the panel begins in row 81"


def test_draw_figure__a_dashed_line_where_a_phase_begins():
    def lines(picture):
        drawn = (picture != np.array(THEMES["light"].page, np.uint8)).any(axis=2)
        return [column for column in range(480) if drawn[:, column].sum() > 120]

    assert not lines(pixels())
    left, right = 20 + 46 * 0.78, 480 - 20 - 24 * 0.78
    found = lines(pixels(phases=PHASES))
    assert found
    assert all(abs(column - (left + 0.6 * (right - left))) < 3 for column in found)


def test_draw_figure__phases_are_named():
    named, other = pixels(phases=PHASES), pixels(phases=[(0, "head"), (60, "something else")])
    assert np.array_equal(named[:, :240], other[:, :240])
    assert not np.array_equal(named[:, 240:], other[:, 240:])


def test_draw_figure__a_phase_too_short_for_its_name_has_none():
    phases = [(0, "a"), (50, "short"), (51, "b")]
    assert np.array_equal(pixels(phases=phases), pixels(phases=[(0, "a"), (50, "other"), (51, "b")]))


@pytest.mark.parametrize("losses", [(2.0, 1.0, 0.5), (np.nan,) * 3, (np.inf,) * 3])
def test_draw_figure__without_a_training_loss(losses):
    picture = pixels(log=log_of([np.nan] * 3), losses=losses, name="n")
    drawn = len(rows_of(picture[90:280], THEMES["light"].accent))
    assert (drawn > 50) == bool(np.isfinite(losses[0]))


def test_draw_figure__is_the_same_each_time():
    assert np.array_equal(pixels(phases=PHASES), pixels(phases=PHASES))
