from core.domain.quality import Highlight
from core.render.captions import captions, in_one_line
from core.render.lettering import Style, measure

STYLE = Style(12)


def at(*frames):
    return [Highlight(kind="x", frame=frame, step=frame, caption=f"c{i}", numbers={}) for i, frame in enumerate(frames)]


def test_captions__stay_for_a_while_or_until_the_next():
    shown = captions(at(1, 1, 6, 7), 12, frames_a_second=1.5)
    assert shown == [(), ("c0", "c1"), ("c0", "c1"), ("c0", "c1"), (), (), ("c2",), ("c3",), ("c3",), ("c3",), (), ()]


def test_captions__none():
    assert captions([], 2, frames_a_second=12) == [(), ()]


def test_in_one_line__as_many_as_fit_and_how_many_more():
    told = ["one thing", "another thing", "a third\nthing"]
    assert in_one_line(told, STYLE, 1e4) == "one thing  ·  another thing  ·  a third thing"
    width = measure("one thing  ·  +2 more", STYLE) + 1
    assert in_one_line(told, STYLE, width) == "one thing  ·  +2 more"
    assert in_one_line(told, STYLE, 5) == "one thing"
    assert in_one_line([], STYLE, 5) == ""
