import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.draw.text import ELLIPSIS, Style, fit, measure, printable, set_line, shorten, shorten_each, wrap

PLAIN = Style(14)


@settings(deadline=None)  # fonts are read once
@given(st.text(max_size=60), st.floats(30, 300))
def test_shorten__never_wider_than_the_room_and_a_beginning_of_the_text(text: str, width: float) -> None:
    shown = shorten(printable(text), PLAIN, width)
    assert measure(shown, PLAIN) <= width
    assert printable(text).startswith(shown.removesuffix(ELLIPSIS))


def test_shorten__keeps_what_fits_and_as_much_as_fits() -> None:
    assert shorten("frog", PLAIN, 100) == "frog"
    shown = shorten("automobile", PLAIN, 60)
    assert shown.endswith(ELLIPSIS)
    assert measure("automobile"[: len(shown)] + ELLIPSIS, PLAIN) > 60


@pytest.mark.parametrize(
    ("texts", "width"),
    [
        (["forget-me-not, alpine", "forget-me-not, wood"], 90),
        (["class of things number 1", "class of things number 2", "class of things number 12"], 80),
        (["one kind of rose 1", "one kind of rose 2", "one kind of lily 3", "one kind of lily 4"], 80),
        (["the very same beginning", "the very same beginning and more"], 70),
        (["日本語の長い名前の花一", "日本語の長い名前の花二"], 80),
    ],
)
def test_shorten_each__keeps_the_distinguishing_parts(texts: list[str], width: float) -> None:
    shown = shorten_each(texts, PLAIN, width)
    assert len(set(shown)) == len(texts)
    for text, short in zip(texts, shown, strict=True):
        assert measure(short, PLAIN) <= width
        head, _, tail = short.partition(ELLIPSIS)
        assert head
        assert text.startswith(head)
        assert tail.removesuffix(ELLIPSIS) in text


def test_shorten_each__names_that_are_unlike_anyway_keep_their_beginning() -> None:
    texts = ["automobile of the old kind", "aeroplane of the old kind", "cat"]
    assert shorten_each(texts, PLAIN, 80) == [shorten(text, PLAIN, 80) for text in texts]


def test_shorten_each__the_same_name_twice() -> None:
    one, other = shorten_each(["a name that is too long"] * 2, PLAIN, 60)
    assert one == other
    assert measure(one, PLAIN) <= 60


def test_wrap__breaks_at_spaces_and_shortens_the_last_line() -> None:
    lines = wrap("one two three four five six seven", PLAIN, 80, lines=2)
    assert lines[0] == "one two"
    assert len(lines) == 2
    assert lines[1].endswith(ELLIPSIS)


def test_fit__a_short_name_is_large_and_a_long_one_is_small_but_whole() -> None:
    long = "word " * 20
    assert fit("word", 300, 40, largest=24, smallest=8)[0].size == 24
    style, lines = fit(long, 300, 60, largest=24, smallest=8)
    assert style.size < 24
    assert " ".join(lines).split() == long.split()
    assert len(lines) * style.line_height <= 60


def test_printable__control_characters_become_spaces() -> None:
    assert printable(" a\nb\t\x00c\ud800 ") == "a b  c"


@pytest.mark.parametrize("text", ["", " ", "猫", "Agj"])
def test_set_line__any_text_gives_a_mask(text: str) -> None:
    mask = set_line(text, PLAIN)
    assert mask.coverage.ndim == 2
    assert (mask.coverage.max() > 200) == bool(text.strip())


def test_set_line__a_halo_surrounds_the_strokes() -> None:
    plain, grown = set_line("8", PLAIN), set_line("8", PLAIN, halo=2)
    assert grown.coverage.shape == tuple(np.array(plain.coverage.shape) + 4)
