import numpy as np
import pytest

from core.draw.marks import Mark, diamond, disc, draw_marks, ring, stroke

LEVELS = np.arange(10, 19, dtype=np.uint8)[None]
"""An ink whose index tells the coverage: 10 none, 18 all."""


def drawn(mark: Mark, *points: tuple[float, float], values: np.ndarray = LEVELS) -> np.ndarray:
    frame = np.zeros((40, 50), dtype=np.uint8)
    draw_marks(frame, mark, np.array(points), values)
    return frame


def test_disc__covers_its_area_around_the_point() -> None:
    frame = drawn(disc(6.0), (25.0, 20.0))
    coverage = np.where(frame > 0, frame.astype(float) - 10, 0) / 8
    y, x = np.mgrid[:40, :50] + 0.5
    assert coverage.sum() == pytest.approx(np.pi * 36, rel=0.02)
    assert (coverage * x).sum() / coverage.sum() == pytest.approx(25.0, abs=0.01)
    assert (coverage * y).sum() / coverage.sum() == pytest.approx(20.0, abs=0.01)


def test_disc__moves_by_less_than_a_pixel() -> None:
    assert not np.array_equal(drawn(disc(4.0), (20.0, 20.0)), drawn(disc(4.0), (20.25, 20.0)))


def test_disc__its_rim_is_background_and_keeps_pixels_farther_out() -> None:
    frame = drawn(disc(4.0, rim=2.0), (20.5, 20.5))
    assert frame[20, 20] == 18
    assert frame[20, 25] == 10
    assert frame[20, 28] == 0


def test_ring__is_hollow() -> None:
    frame = drawn(ring(8.0, stroke=2.0), (20.5, 20.5))
    assert frame[20, 20] == 0
    assert frame[20, 28] == 18


def test_diamond__has_corners_and_an_empty_middle() -> None:
    frame = drawn(diamond(8.0, stroke=2.0), (20.5, 20.5))
    assert frame[20, 20] == 10
    assert frame[20, 27] == 18
    assert frame[26, 26] == 0


def test_press__later_points_cover_earlier_ones() -> None:
    values = np.stack([np.full(9, 1), np.full(9, 2)]).astype(np.uint8)
    frame = drawn(disc(5.0), (20.0, 20.0), (22.0, 20.0), values=values)
    assert frame[20, 22] == 2
    assert frame[20, 20] == 2
    assert frame[20, 16] == 1


def test_stroke__joins_its_marks_without_a_seam() -> None:
    frame = np.zeros((40, 50), dtype=np.uint8)
    line = np.column_stack([np.arange(10, 40, 0.75), np.full(40, 20.5)])
    stroke(frame, [disc(2.0), disc(3.0)], [line[:20], line[20:]], LEVELS[0])
    assert (frame[20, 11:39] == 18).all()
    assert (frame[19:22, 12:38] == 18).all()
    assert (frame[:16] == 0).all()
    seamed = np.zeros_like(frame)
    for mark, part in ((disc(2.0), line[:20]), (disc(3.0), line[20:])):
        draw_marks(seamed, mark, part, LEVELS)
    assert (seamed <= frame).all()
    assert (seamed[18:23, 12:38] < frame[18:23, 12:38]).any(), "what a stroke is there for"


def test_press__ten_thousand_on_one_spot_leave_the_last() -> None:
    values = np.zeros((10_000, 9), dtype=np.uint8)
    values[:] = (np.arange(10_000) % 200 + 1)[:, None]
    frame = drawn(disc(3.0), *[(20.0, 20.0)] * 10_000, values=values)
    assert set(np.unique(frame)) == {0, 200}


@pytest.mark.parametrize("point", [(-5.0, -5.0), (0.0, 39.9), (60.0, 20.0)])
def test_press__marks_at_the_edge_are_moved_inwards_whole(point: tuple[float, float]) -> None:
    assert (drawn(disc(3.0), point) == 18).sum() >= 20


def test_press__no_points_change_nothing() -> None:
    frame = np.full((20, 20), 7, dtype=np.uint8)
    draw_marks(frame, disc(3.0), np.zeros((0, 2)), LEVELS)
    assert (frame == 7).all()
