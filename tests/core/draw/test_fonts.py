"""A font is made here, because the machine may have only DejaVu Sans."""

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import ImageFont, features

from core.draw import fonts
from core.draw.fonts import runs
from core.draw.text import Style, measure, set_line

PLAIN = Style(20)


def square(width):
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (width - 100, 800), (width - 100, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install fonts with these file names and letters."""
    made = []

    def install(name, letters, *, width=1000):
        builder = FontBuilder(1000, isTTF=True)
        names = {ord(letter): f"glyph{at}" for at, letter in enumerate(letters)}
        builder.setupGlyphOrder([".notdef", *names.values()])
        builder.setupCharacterMap(names)
        builder.setupGlyf(dict.fromkeys([".notdef", *names.values()], square(width)))
        builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names.values()], (width, 100)))
        builder.setupHorizontalHeader(ascent=800, descent=-200)
        builder.setupNameTable({"familyName": name, "styleName": "Regular"})
        builder.setupOS2()
        builder.setupPost()
        path = tmp_path / name
        builder.save(path)
        made.append(str(path))

    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: made)
    caches = (fonts.face_of, fonts.of_the_system, measure, set_line)
    for cached in caches:
        cached.cache_clear()
    yield install
    for cached in caches:
        cached.cache_clear()


def files(text, *, bold=False):
    return [(face.path.name, piece) for face, piece in runs(text, bold=bold)]


def test_letters_that_dejavu_lacks_come_from_a_font_that_has_them(installed):
    installed("Cats-Sans.ttf", "猫犬")
    assert files("a 猫犬 b") == [("DejaVuSans.ttf", "a "), ("Cats-Sans.ttf", "猫犬"), ("DejaVuSans.ttf", " b")]
    assert measure("猫犬", PLAIN) == pytest.approx(40)
    assert measure("a 猫犬 b", PLAIN) == pytest.approx(measure("a ", PLAIN) + 40 + measure(" b", PLAIN))
    mask = set_line("猫a犬", PLAIN)
    covered = (mask.coverage > 200).any(axis=0)
    first, second = covered[4:16], covered[int(mask.advance) - 16 - mask.left : int(mask.advance) - 4 - mask.left]
    assert first.all()
    assert second.all()
    assert not covered.all()


def test_a_letter_that_no_font_has_shows_a_box(installed):
    installed("Cats-Sans.ttf", "猫")
    assert files("犬") == [("DejaVuSans.ttf", "犬")]
    assert set_line("犬", PLAIN).coverage.max() > 200


def test_an_upright_sans_of_the_right_weight_is_taken_first(installed):
    installed("ASerif.ttf", "猫")
    installed("ASans-Italic.ttf", "猫")
    installed("BSans-Bold.ttf", "猫")
    installed("CSans-Regular.ttf", "猫")
    assert files("猫") == [("CSans-Regular.ttf", "猫")]
    assert files("猫", bold=True) == [("BSans-Bold.ttf", "猫")]


def test_a_file_that_is_no_font_is_passed_over(installed, tmp_path):
    installed("Cats-Sans.ttf", "猫")
    (tmp_path / "Cats-Sans.ttf").rename(tmp_path / "Kept-Sans.ttf")
    (tmp_path / "Cats-Sans.ttf").write_bytes(b"no font")
    fonts.font_manager.findSystemFonts().append(str(tmp_path / "Kept-Sans.ttf"))
    assert files("猫") == [("Kept-Sans.ttf", "猫")]


def test_arabic_letters_join_if_fribidi_is_installed():
    """Without fribidi, the letters are drawn separately."""
    apart = sum(measure(letter, PLAIN) for letter in "بيت")
    assert (measure("بيت", PLAIN) < apart) == features.check("fribidi")
    assert (fonts.LAYOUT is ImageFont.Layout.RAQM) == features.check("fribidi")
