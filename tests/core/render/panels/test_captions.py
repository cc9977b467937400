from core.domain.quality import Highlight
from core.draw.text import Style, measure
from core.render.panels.captions import captions, in_one_line

STYLE = Style(12)


def at(*frames):
    return [Highlight(kind="x", frame=frame, step=frame, caption=f"c{i}", numbers={}) for i, frame in enumerate(frames)]


def test_captions__stay_for_a_while_or_until_the_next():
    shown = captions(at(1, 1, 6, 8), 13, frames_a_second=1.5)
    pair = ("c0", "c1")
    assert shown == [(), pair, pair, pair, (), (), ("c2",), ("c2",), ("c3",), ("c3",), ("c3",), (), ()]


def test_captions__are_shown_long_enough_to_be_read():
    """At 10 frames a second 0.7 s are 7 frames."""
    shown = captions(at(1, 3, 9), 12, frames_a_second=10)
    one, both = ("c0",), ("c1", "c0")
    assert shown == [(), one, one, both, both, both, both, both, ("c1",), ("c2", "c1"), ("c2",), ("c2",)]


def test_captions__of_many_images_come_before_those_of_one():
    all_of_them, *single = at(1, 2, 3)
    told = [all_of_them, *(one.model_copy(update={"image": 7}) for one in single)]
    assert captions(told, 4, frames_a_second=10)[3] == ("c0", "c2", "c1")


def test_captions__none():
    assert captions([], 2, frames_a_second=12) == [(), ()]


def test_in_one_line__as_many_as_fit_and_how_many_more():
    told = ["one thing", "another thing", "a third\nthing"]
    assert in_one_line(told, STYLE, 1e4) == "one thing  ·  another thing  ·  a third thing"
    width = measure("one thing  ·  +2 more", STYLE) + 1
    assert in_one_line(told, STYLE, width) == "one thing  ·  +2 more"
    assert in_one_line(told, STYLE, 5) == "one thing"
    assert in_one_line([], STYLE, 5) == ""
