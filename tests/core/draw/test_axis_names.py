import pytest

from core.draw.axis_names import SMALLEST, AxisNames

NAMES = [f"class {number}" for number in range(12)]
INK, PAGE = (0, 0, 0), (255, 255, 255)


@pytest.mark.parametrize(
    ("pitch", "size", "lanes", "every"),
    [(40, 13, 1, 1), (11.5, 10, 1, 1), (9.0, 8, 1, 1), (5, SMALLEST, 2, 1), (2, SMALLEST, 1, 5)],
)
@pytest.mark.parametrize("upright", [False, True])
def test_plan__smaller_letters_then_two_lanes_then_not_every_name(pitch, size, lanes, every, upright):
    names = AxisNames.plan(NAMES, pitch=pitch, most=300, size=13, upright=upright)
    assert (names.style.size, names.lanes, names.every) == (size, lanes, every)
    assert names.shown == tuple(NAMES)
    middles = [100 + (place + 0.5) * pitch for place in range(12)]
    placed = list(names.placed(middles, 90, INK, PAGE))
    assert [text.text for text in placed] == NAMES[::every]
    assert names.note == ("" if every == 1 else f", 1 in {every} named")
    for text, middle in zip(placed, middles[::every], strict=True):
        box, _ = text.placed()
        start, end, along = (box.top, box.bottom, box.left) if upright else (box.left, box.right, box.top)
        assert 90 - names.depth <= start < end <= 90
        assert abs(along + (box.width if upright else box.height) / 2 - middle) <= 2


def test_plan__what_finds_no_room_is_cut():
    names = AxisNames.plan(["a long name one", "a long name two"], pitch=40, most=60, size=13, upright=False)
    assert names.depth <= 60
    assert len(set(names.shown)) == 2
    assert all("…" in name for name in names.shown)
