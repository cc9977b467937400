from dataclasses import replace

import numpy as np
import pytest

from core.domain.arrays import Projection
from core.domain.spec import RenderSpec
from core.draw.box import Box
from core.render.comparison_scene import ComparisonRenderer, ComparisonScene, Side
from core.render.page.comparison_page import arrange_panels


@pytest.fixture
def scene(film_inputs):
    def build(*, frames=(5, 3), n_points=60, phases=(((0, "fine tune"),), ((0, "head"), (40, "all"))), **changes):
        sides = []
        for place, n_frames in enumerate(frames):
            inputs = film_inputs(n_frames=n_frames, n_points=n_points, seed=place)
            sides.append(
                Side(
                    name=f"run {place}",
                    model="vit-tiny",
                    projection=inputs["projection"],
                    embedded=inputs["embedded"],
                    phases=phases[place % len(phases)],
                )
            )
        sides[0] = replace(sides[0], **changes)
        return ComparisonScene("A comparison", inputs["probe"], sides)

    return build


def renderer(scene, **spec):
    return ComparisonRenderer(RenderSpec(**({"width": 640, "height": 400} | spec)), scene)


def inside(frame, box):
    return frame[box.top : box.bottom, box.left : box.right]


def test_film__as_long_as_the_longest_run(scene):
    drawn = list(renderer(scene(), tween=1).film())
    assert [index for index, _ in drawn] == [0, None, 1, None, 2, None, 3, None, 4]
    assert all(frame.shape == (400, 640) and frame.max() < 255 for _, frame in drawn)


def test_draw__each_run_is_at_the_same_share_of_its_film(scene):
    asked = scene()
    long, short = asked.sides
    points, halves = short.projection.points, [0, 0.5, 1, 1.5, 2]
    between = [points[int(at)] + (at % 1) * (points[int(np.ceil(at))] - points[int(at)]) for at in halves]
    slow = replace(
        short,
        projection=Projection(np.float32(between), *np.full((2, 5), 0.5, np.float32)),
        embedded=[short.embedded[int(at)] for at in halves],
    )
    one, other = renderer(asked), renderer(replace(asked, sides=[long, slow]))
    shown = [inside(one.draw(position), one.pages[1].plot) for position in range(5)]
    for position, picture in enumerate(shown):
        assert np.array_equal(picture, inside(other.draw(position), one.pages[1].plot))
    assert not any(np.array_equal(shown[0], later) for later in shown[1:])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_draw__an_unknown_accuracy_is_not_shown(scene, theme):
    asked = scene(frames=(3, 3))
    unknown = [replace(one, accuracy=float("nan")) for one in asked.sides[0].embedded]
    drawn = renderer(replace(asked, sides=[replace(asked.sides[0], embedded=unknown), asked.sides[1]]), theme=theme)
    frame = drawn.draw(2)
    told = [inside(frame, _right_half(page.stats)) for page in drawn.pages]
    assert len(np.unique(told[0])) == 1, "nothing but the page"
    assert len(np.unique(told[1])) > 1


def _right_half(box):
    return Box(box.left + box.width // 2, box.top, box.width - box.width // 2, box.height // 2)


@pytest.mark.parametrize("size", [(320, 320), (640, 360), (1280, 720)])
@pytest.mark.parametrize("name", ["x" * 120, "两阶段训练" * 20, "a"])
def test_draw__no_heading_leaves_its_panel(scene, size, name):
    asked = scene(frames=(2, 2, 2, 2))
    model = "google/vit-base-patch16-224-in21k"
    sides = [replace(side, name=f"{name} {place}", model=model) for place, side in enumerate(asked.sides)]
    drawn = renderer(replace(asked, sides=sides), width=size[0], height=size[1])
    blank = renderer(replace(asked, sides=sides), width=size[0], height=size[1], theme="light").draw(0)
    panels = np.zeros(blank.shape, dtype=bool)
    for page in drawn.pages:
        for box in (page.stats, page.plot):
            panels[box.top : box.bottom, box.left : box.right] = True
    page = drawn.pages[0]
    for box in (page.name, page.curve, page.legend):
        panels[box.top : box.bottom, box.left - 12 : box.right + 12] = True
    assert len(np.unique(blank[~panels])) == 1


def test_draw__a_trail_ends_where_its_image_is(scene):
    asked = scene(frames=(5, 5))
    without, followed = renderer(asked).draw(4), renderer(asked, trails=(3,)).draw(4)
    assert (without != followed).any()


def test_phase__is_that_of_the_step(scene):
    first, second = scene().sides
    assert [second.phase(step) for step in (0, 40, 41, 100)] == ["head", "head", "all", "all"]
    assert first.phase(50) == "", "one phase is not worth a word"
    assert second.begins == [pytest.approx(0.4)]


@pytest.mark.parametrize("size", [(320, 320), (960, 960), (1280, 720), (480, 1200), (2160, 2160), (1600, 320)])
@pytest.mark.parametrize("runs", [2, 3, 4])
@pytest.mark.parametrize("n_classes", [2, 10, 200])
def test_arrange_panels__panels_are_disjoint_and_inside(size, runs, n_classes):
    width, height = size
    pages = arrange_panels(width, height, runs=runs, n_classes=n_classes)
    boxes = [
        pages[0].name,
        pages[0].curve,
        pages[0].legend,
        *(box for page in pages for box in (page.stats, page.plot)),
    ]
    assert len(pages) == runs
    for place, box in enumerate(boxes):
        assert box.width > 0
        assert box.height > 0
        assert box.left >= 0
        assert box.top >= 0
        assert box.right <= width
        assert box.bottom <= height
        assert not any(_overlap(box, other) for other in boxes[place + 1 :])


def _overlap(one: Box, other: Box) -> bool:
    across = one.left < other.right and other.left < one.right
    return across and one.top < other.bottom and other.top < one.bottom
