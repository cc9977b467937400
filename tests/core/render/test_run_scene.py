import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from core.domain.quality import FrameQuality, Highlight, MotionQuality, QualityCard
from core.domain.spec import RenderSpec
from core.draw.colors import LIGHT, THEMES, class_colors, to_oklab
from core.draw.palette import TRANSPARENT
from core.errors import DegenerateEmbeddingsError
from core.render import run_scene as frames
from core.render.page.run_page import arrange
from core.render.run_scene import FrameRenderer, Scene
from core.render.timeline import TRAIL_FRAMES

Inputs = Callable[..., dict[str, Any]]
SIZES = [(320, 320), (480, 480), (960, 960), (1920, 1080), (640, 1200), (2160, 480), (480, 2160)]


def all_frames(inputs: dict[str, Any]) -> tuple[Any, list[np.ndarray]]:
    renderer = renderer_of(inputs)
    return renderer.palette, [frame for _, frame in renderer.film()]


def renderer_of(inputs: dict[str, Any]) -> FrameRenderer:
    return FrameRenderer(inputs["spec"], Scene(**{k: v for k, v in inputs.items() if k != "spec"}))


def nan_like(array: np.ndarray) -> np.ndarray:
    return np.full_like(array, np.nan)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_film__has_the_requested_size_and_an_empty_border(film_inputs: Inputs, width: int, height: int) -> None:
    palette, frames = all_frames(film_inputs(width=width, height=height, n_frames=2, leaderboard=12))
    assert [frame.shape for frame in frames] == [(height, width)] * 2
    for frame in frames:
        assert frame.dtype == np.uint8
        assert frame.max() < TRANSPARENT
        border = np.concatenate([frame[:6].ravel(), frame[-6:].ravel(), frame[:, :6].ravel(), frame[:, -6:].ravel()])
        assert np.array_equal(palette.colors[np.unique(border)], [LIGHT.page]), "nothing is cut off at the edge"


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("leaderboard", [0, 12])
@pytest.mark.parametrize("n_classes", [2, 200])
def test_arrange__boxes_are_on_the_page_and_do_not_overlap(
    width: int, height: int, leaderboard: int, n_classes: int
) -> None:
    page = arrange(width, height, n_classes=n_classes, leaderboard=leaderboard)
    owner = np.zeros((height, width), dtype=np.uint8)
    for box in (page.name, page.stats, page.plot, page.legend, page.leaderboard, page.curve):
        assert box.left >= 0
        assert box.top >= 0
        assert box.right <= width
        assert box.bottom <= height
        owner[box.top : box.bottom, box.left : box.right] += 1
    assert owner.max() == 1
    assert page.plot.width * page.plot.height >= 0.2 * min(width, height) ** 2


def test_film__a_point_has_its_class_s_color_where_the_viewport_puts_it(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_points=12, n_classes=4, width=960, height=960, leaderboard=0)
    palette, frames = all_frames(inputs)
    scatter = renderer_of(inputs).scatter
    for frame, points in zip(frames, inputs["projection"].points, strict=True):
        places, outside = scatter.pixels(points)
        assert not outside.any()
        exclusive = [row for row, place in enumerate(places) if np.sort(np.hypot(*(places - place).T))[1] > 20.0]
        assert len(exclusive) >= 4
        for row in exclusive:
            x, y = np.floor(places[row]).astype(int)
            assert frame[y, x] == palette.class_index(inputs["probe"].labels[row])


def test_film__outliers_are_ringed_and_drawn_over_their_neighbours(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_points=200, n_frames=1, leaderboard=3, width=960, height=960)
    points = np.zeros_like(inputs["projection"].points)
    points[0, :5] = [[-1, -1], [1, 1], [-1, 1], [1, -1], [0, 0.5]]
    scores = np.zeros_like(inputs["scores"].distance)
    scores[0, 77] = 1.0
    inputs["projection"] = dataclasses.replace(inputs["projection"], points=points)
    inputs["scores"] = dataclasses.replace(inputs["scores"], distance=scores)
    palette, (frame,) = all_frames(inputs)
    renderer = renderer_of(inputs)
    x, y = renderer.scatter.pixels(points[0])[0][77]
    assert frame[int(y), int(x)] == palette.class_index(inputs["probe"].labels[77])
    radius = int(renderer.scatter.ring_reach)
    around = frame[int(y) - radius : int(y) + radius, int(x) - radius : int(x) + radius]
    assert (around == renderer.text_colors.ink_on_card[-1]).sum() > 30


def test_film__a_trail_leads_from_where_a_point_was_to_where_it_is(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_points=1000, n_frames=3, leaderboard=0, width=960, height=960, tween=1, trails=(5, 5000))
    points = np.zeros_like(inputs["projection"].points)
    points[:, 1:5] = [[-1, -1], [1, 1], [-1, 1], [1, -1]]
    points[:, 5] = [[-0.8, 0.0], [0.5, 0.0], [0.5, -0.8]]
    inputs["projection"] = dataclasses.replace(inputs["projection"], points=points)
    palette, frames = all_frames(inputs)
    own = palette.discs[inputs["probe"].labels[5], 1:]
    places = renderer_of(inputs).scatter.pixels(points[:, 5])[0]

    def colored(frame: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
        """Return the fraction of the path that has the colour of the class."""
        x, y = np.floor(np.linspace(start, end, 50)).astype(int).T
        return float(np.isin(frame[y, x], own).mean())

    half_way = (places[0] + places[1]) / 2
    assert colored(frames[0], places[0], places[1]) < 0.1, "it has not gone anywhere"
    assert colored(frames[1], places[0], half_way) > 0.9
    assert colored(frames[1], half_way + 20, places[1]) == 0.0
    assert colored(frames[-1], places[0], places[1]) > 0.9
    assert colored(frames[-1], places[1], places[2]) > 0.9


def test_film__a_trail_has_the_requested_number_of_checkpoints(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_points=40, n_frames=TRAIL_FRAMES + 1, leaderboard=0, width=960, height=960, trails=(5,))
    points = np.zeros_like(inputs["projection"].points)
    points[:, :4] = [[-1, -1], [1, 1], [-1, 1], [1, -1]]
    points[0, 5] = [-0.9, 0.4]
    points[1:, 5, 0] = np.linspace(-0.5, 0.5, TRAIL_FRAMES)
    points[1:, 5, 1] = 0.4
    inputs["projection"] = dataclasses.replace(inputs["projection"], points=points)
    palette, frames = all_frames(inputs)
    x, y = np.floor(renderer_of(inputs).scatter.pixels(points[:2, 5].mean(axis=0)[None])[0][0]).astype(int)
    shown = [frame[y, x] in palette.discs[inputs["probe"].labels[5], 1:] for frame in frames]
    assert shown == [False, *[True] * (TRAIL_FRAMES - 1), False]


def test_film__points_beyond_the_border_are_diamonds_and_counted(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_points=1000, n_frames=1, leaderboard=0, width=960, height=960)
    points = inputs["projection"].points.copy()
    points[0, 5] = [500.0, 0.0]
    inputs["projection"] = dataclasses.replace(inputs["projection"], points=points)
    palette, (frame,) = all_frames(inputs)
    scatter = renderer_of(inputs).scatter
    places, outside = scatter.pixels(points[0])
    assert outside[5]
    x, y = np.floor(places[5]).astype(int)
    full = palette.class_index(inputs["probe"].labels[5])
    assert frame[y, x] == palette.discs[0, 0], "hollow"
    assert (frame[y - 8 : y + 9, x - 8 : x + 9] == full).sum() > 8


def test_film__the_leaderboard_shows_the_images_with_the_highest_distance(film_inputs: Inputs) -> None:
    inputs = film_inputs(leaderboard=4, n_frames=2)
    palette, frames = all_frames(inputs)
    board = renderer_of(inputs).board
    assert board is not None
    for frame, distance in zip(frames, inputs["scores"].distance, strict=True):
        for cell, row in zip(board.cells, np.argsort(-distance), strict=False):
            shown = frame[cell.top : cell.top + board.thumbnail, cell.left : cell.right]
            colors = palette.colors[shown].astype(int)
            grey = int(inputs["probe"].images[row, 0, 0, 0])
            exact = (np.abs(colors - grey).max(axis=-1) <= 4).sum()
            assert exact >= board.thumbnail**2


def test_film__no_leaderboard_no_rings_and_more_room_for_points(film_inputs: Inputs) -> None:
    with_board, without = (renderer_of(film_inputs(leaderboard=rows)) for rows in (8, 0))
    assert without.board is None
    assert without.page.plot.width > with_board.page.plot.width
    ringed = []
    for renderer in (with_board, without):
        box, frame = renderer.page.plot, renderer.draw(0)
        plot = frame[box.top + 30 : box.bottom - 30, box.left + 30 : box.right - 30]  # without the note in the corner
        ringed.append(int((plot == renderer.text_colors.ink_on_card[-1]).sum()))
    assert ringed[0] > 100
    assert ringed[1] == 0


def test_film__the_past_of_the_curve_is_stronger_than_its_future(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_frames=3)
    renderer = renderer_of(inputs)
    panel = renderer.panel
    half = renderer.draw(1)
    rows = slice(int(panel.top), int(panel.bottom))
    middle = round((panel.left + panel.right) / 2)
    dark = renderer.palette.colors[half[rows]].max(axis=-1) < 130
    assert dark[:, int(panel.left) + 2 : middle].any(axis=0).mean() > 0.9
    assert not dark[:, middle + 8 : int(panel.right) - 2].any()


def test_film__the_marker_stands_at_step_and_loss(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_frames=5, width=960, height=960)
    renderer = renderer_of(inputs)
    panel, log = renderer.panel, inputs["log"]
    for index, facts in enumerate(inputs["embedded"]):
        x, y = panel.x(facts.step), panel.y(float(log.loss[facts.step]) / panel.curves.top)
        assert renderer.draw(index)[int(y), int(x) - 1] == renderer.text_colors.ink[-1]


def test_film__frames_differ_and_are_not_written_to_again(film_inputs: Inputs) -> None:
    drawn = (frame for _, frame in renderer_of(film_inputs(n_frames=4)).film())
    frames, copies = [], []
    for frame in drawn:
        frames.append(frame)
        copies.append(frame.copy())
    assert all(np.array_equal(frame, copy) for frame, copy in zip(frames, copies, strict=True))
    assert all(not np.array_equal(a, b) for a, b in pairwise(frames))


def test_film__the_same_inputs_give_the_same_pixels(film_inputs: Inputs) -> None:
    (palette, frames), (again, others) = (all_frames(film_inputs()) for _ in range(2))
    assert np.array_equal(palette.colors, again.colors)
    assert all(np.array_equal(a, b) for a, b in zip(frames, others, strict=True))


def test_film__step_epoch_and_accuracy_stand_in_the_head(film_inputs: Inputs) -> None:
    renderer = renderer_of(film_inputs(n_frames=2, width=960, height=960))
    box = renderer.page.stats
    first, last = (renderer.draw(i)[box.top : box.bottom, box.left : box.right] for i in (0, 1))
    assert (first == renderer.text_colors.ink[-1]).sum() > 50
    assert not np.array_equal(first, last)


def test_film__nan_in_log_scores_and_facts_is_left_out(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_frames=2)
    log = inputs["log"]
    inputs["log"] = dataclasses.replace(log, loss=nan_like(log.loss))
    inputs["embedded"] = [
        dataclasses.replace(facts, accuracy=float("nan"), loss=float("nan"), epoch=float("nan"))
        for facts in inputs["embedded"]
    ]
    inputs["scores"] = dataclasses.replace(inputs["scores"], distance=nan_like(inputs["scores"].distance))
    inputs["projection"] = dataclasses.replace(
        inputs["projection"], explained_variance=nan_like(inputs["projection"].explained_variance)
    )
    renderer = renderer_of(inputs)
    known = renderer_of(film_inputs(n_frames=2))
    assert renderer.panel.curves.loss.at(0) is None
    panel, marker = renderer.panel, known.text_colors.accent[-1]
    in_curve = (slice(round(panel.top), round(panel.bottom)), slice(round(panel.left), round(panel.right)))
    assert (known.draw(1)[in_curve] == marker).any()
    assert not (renderer.draw(1)[in_curve] == marker).any(), "neither a curve nor its marker"


def test_film__without_a_training_loss_the_probe_loss_is_drawn(film_inputs: Inputs) -> None:
    inputs = film_inputs()
    inputs["log"] = dataclasses.replace(inputs["log"], loss=nan_like(inputs["log"].loss))
    curves = renderer_of(inputs).panel.curves
    assert curves.loss_name == "probe loss"
    assert curves.loss.value.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("spike", [50.0, 1e6])
def test_film__a_spike_of_the_first_losses_does_not_flatten_the_curve(film_inputs: Inputs, spike: float) -> None:
    inputs = film_inputs()
    loss = inputs["log"].loss.copy()
    loss[0] = spike
    inputs["log"] = dataclasses.replace(inputs["log"], loss=loss)
    assert renderer_of(inputs).panel.curves.top < spike / 2


@pytest.mark.parametrize("n_classes", [1, 40, 200])
def test_film__many_classes_and_names_of_all_kinds(film_inputs: Inputs, n_classes: int) -> None:
    inputs = film_inputs(n_points=400, n_classes=n_classes, n_frames=1)
    names = ["$x_1$ \n of a very long kind indeed, longer than any column", "", "猫", "\ud800", "W" * 500]
    names = [names[label % 5] for label in range(n_classes)]
    inputs["probe"] = dataclasses.replace(inputs["probe"], class_names=tuple(names))
    inputs["name"] = "$\\frac{1}{$ " + "W" * 107
    renderer = renderer_of(inputs)
    frame, page = renderer.draw(0), renderer.page
    plot = frame[page.plot.top : page.plot.bottom, page.plot.left : page.plot.right]
    drawn = np.isin([renderer.palette.class_index(label) for label in range(n_classes)], plot)
    assert drawn.mean() > 0.9, "the points of nearly all classes are seen"
    legend = frame[page.legend.top : page.legend.bottom, page.legend.left : page.legend.right]
    assert renderer.palette.class_index(0) in legend
    border = np.concatenate([frame[:6].ravel(), frame[-6:].ravel(), frame[:, :6].ravel(), frame[:, -6:].ravel()])
    assert np.array_equal(renderer.palette.colors[np.unique(border)], [LIGHT.page]), "no name is cut off at the edge"


def test_film__fewer_images_than_rows_of_the_leaderboard(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_points=3, n_classes=2, leaderboard=12)
    renderer = renderer_of(inputs)
    frame, board = renderer.draw(0), renderer.board
    assert board is not None
    assert len(board.cells) == 3
    for cell, row in zip(board.cells, np.argsort(-inputs["scores"].distance[0]), strict=True):
        shown = renderer.palette.colors[frame[cell.top : cell.top + board.thumbnail, cell.left : cell.right]]
        grey = int(inputs["probe"].images[row, 0, 0, 0])
        assert (np.abs(shown.astype(int) - grey).max(axis=-1) <= 4).sum() >= board.thumbnail**2


def test_film__one_frame_is_the_whole_film(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_frames=1, tween=3)
    renderer = renderer_of(inputs)
    ((index, frame),) = renderer.film()
    assert index == 0
    assert np.array_equal(frame, renderer.draw(0))
    places, _ = renderer.scatter.pixels(inputs["projection"].points[0])
    x, y = np.floor(places).astype(int).T
    colors = [renderer.palette.class_index(label) for label in inputs["probe"].labels]
    assert np.mean(frame[y, x] == colors) > 0.8


def test_film__refuses_a_layout_that_is_not_finite(film_inputs: Inputs) -> None:
    inputs = film_inputs()
    points = inputs["projection"].points.copy()
    points[0, 0, 0] = np.nan
    inputs["projection"] = dataclasses.replace(inputs["projection"], points=points)
    with pytest.raises(DegenerateEmbeddingsError):
        renderer_of(inputs)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda _: {"embedded": []}, "at least one frame"),
        (lambda i: {"embedded": i["embedded"][:2]}, "shape of points"),
        (
            lambda i: {"scores": dataclasses.replace(i["scores"], distance=i["scores"].distance[:, 1:])},
            "shape of scores",
        ),
        (
            lambda i: {"embedded": [dataclasses.replace(f, predictions=f.predictions[1:]) for f in i["embedded"]]},
            "predictions",
        ),
        (
            lambda i: {"probe": dataclasses.replace(i["probe"], class_names=("x",) * 201)},
            "200 classes",
        ),
    ],
)
def test_film__refuses_inputs_that_disagree(film_inputs: Inputs, changed: Callable, message: str) -> None:
    inputs = film_inputs()
    with pytest.raises(ValueError, match=message):
        renderer_of(inputs | changed(inputs))


def test_film__frames_between_checkpoints_ease_from_one_to_the_next(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_frames=3, tween=4)
    renderer = renderer_of(inputs)
    drawn = list(renderer.film())
    assert [index for index, _ in drawn] == [0, None, None, None, None, 1, None, None, None, None, 2]
    exclusive = [frame for _, frame in renderer_of(film_inputs(n_frames=3)).film()]
    for frame, (index, same) in zip(exclusive, [pair for pair in drawn if pair[0] is not None], strict=True):
        assert np.array_equal(frame, same), index
    changed = [(one != other).sum() for (_, one), (_, other) in pairwise(drawn)]
    assert changed[0] < changed[2]
    assert changed[4] < changed[2]


def test_film__shows_only_measured_numbers_between_checkpoints(
    film_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = film_inputs(n_frames=3, tween=3, leaderboard=3)
    explained = np.array([0.2, 0.5, 0.9], dtype=np.float32)
    inputs["projection"] = dataclasses.replace(inputs["projection"], explained_variance=explained)
    renderer = renderer_of(inputs)
    accuracies, scores, variances = set(), set(), set()
    monkeypatch.setattr(frames, "draw_stats", lambda *told: accuracies.add(told[3].accuracy))
    monkeypatch.setattr(frames, "draw_row", lambda _frame, _board, row, **_: scores.add(row.score))
    monkeypatch.setattr(renderer.scatter, "draw", lambda *_, explained, **__: variances.add(explained))
    for position in np.arange(0, 2.01, 0.25):
        renderer.draw(float(position))
    assert accuracies == {facts.accuracy for facts in inputs["embedded"]}
    assert variances == set(map(float, explained))
    assert scores <= set(map(float, inputs["scores"].distance.ravel()))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_film__theme(film_inputs: Inputs, theme: str) -> None:
    palette, frames = all_frames(film_inputs(n_classes=10, theme=theme))
    assert palette.theme == THEMES[theme]
    assert tuple(palette.colors[frames[0][0, 0]]) == THEMES[theme].page
    card = np.array(THEMES[theme].card, dtype=np.uint8)
    seen = np.concatenate([class_colors(10, THEMES[theme]), [card]])
    apart = np.linalg.norm(to_oklab(seen)[:, None] - to_oklab(seen)[None], axis=2)
    assert apart[~np.eye(11, dtype=bool)].min() > 0.05


def happened(*frames: int) -> list[Highlight]:
    return [Highlight(kind="x", frame=at, step=at, caption=f"No. {at} of a kind", numbers={}) for at in frames]


def test_film__captions_stand_in_a_strip_of_their_own(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_frames=3, fps=1) | {"highlights": happened(1)}
    renderer = renderer_of(inputs)
    strip = renderer.page.caption
    assert strip.height > 10
    inside = [frame[strip.top + 3 : strip.bottom, strip.left + 3 : strip.right - 3] for _, frame in renderer.film()]
    assert len(np.unique(inside[0])) == 1, "no point stands here"
    assert len(np.unique(inside[1])) > 1
    silent = renderer_of(inputs | {"spec": RenderSpec(width=480, height=480, captions=False)})
    assert silent.page.caption.height == 0


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_film__card(film_inputs: Inputs, width: int, height: int) -> None:
    unknown = dict.fromkeys(FrameQuality.model_fields)
    motion = MotionQuality(**{**dict.fromkeys(MotionQuality.model_fields), "pearson": 0.71})
    card = QualityCard(
        verdict="",
        advice=None,
        k=1,
        points=1,
        motion=motion,
        frames=[FrameQuality(**{**unknown, "frame": at, "step": at, "neighbors_kept": at / 2}) for at in range(2)],
        alternatives=[],
    )
    renderer = renderer_of(film_inputs(n_frames=2, width=width, height=height, card=True) | {"card": card})
    box = renderer.page.card
    panels = [frame[box.top : box.bottom, box.left : box.right] for _, frame in renderer.film()]
    assert panels[0].shape == (box.height, box.width)
    assert (panels[0] != panels[1]).any()
    curve = renderer.page.curve
    assert curve.right <= box.left or curve.bottom <= box.top
    assert renderer_of(film_inputs(card=True)).page.card.height == 0, "nothing is known"


def test_phases__begin_at_a_dashed_line_with_their_names_above(film_inputs: Inputs) -> None:
    inputs = film_inputs(width=960, height=960, n_frames=2)
    told = inputs | {"phases": [(0, "feature extraction"), (40, "fine-tuning")]}
    renderer = renderer_of(told)
    panel = renderer.panel
    frame = next(frame for _, frame in renderer.film())
    column = frame[round(panel.top) : round(panel.bottom), round(panel.x(40)) - 1 : round(panel.x(40)) + 2]
    card = np.bincount(frame[round(panel.top) : round(panel.bottom)].ravel()).argmax()
    dashed = (column != card).any(axis=1)
    assert 0.4 < dashed.mean() < 0.9
    assert np.count_nonzero(np.diff(dashed.astype(int))) > 8
    heading = frame[round(panel.top) - 14 : round(panel.top) - 2]
    for left in (panel.x(0), panel.x(40)):
        assert (heading[:, round(left) : round(left) + 60] != card).mean() > 0.1


def test_one_phase__is_not_named(film_inputs: Inputs) -> None:
    inputs = film_inputs(n_frames=2)
    _, usual = all_frames(inputs)
    _, told = all_frames(inputs | {"phases": [(0, "fine tune")]})
    assert all(map(np.array_equal, usual, told))


def test_phases__too_short_for_a_name_have_none(film_inputs: Inputs) -> None:
    inputs = film_inputs(width=320, height=320, n_frames=2)
    begin = range(0, 100, 4)
    _, named = all_frames(inputs | {"phases": [(step, "x" * 40) for step in begin]})
    _, nameless = all_frames(inputs | {"phases": [(step, "") for step in begin]})
    assert all(map(np.array_equal, named, nameless))
