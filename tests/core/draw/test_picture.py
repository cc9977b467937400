import xml.etree.ElementTree as ET

import numpy as np
import pytest

from core.draw.box import Box
from core.draw.colors import LIGHT
from core.draw.picture import Cells, Painter, Picture, Rect, Text, as_svg, edges
from core.draw.text import Style

PAGE, INK, RED = (247, 246, 243), (29, 33, 41), (200, 0, 0)
STYLE = Style(20)
SVG = "{http://www.w3.org/2000/svg}"


def painted(*shapes, width=200, height=100):
    painter = Painter(LIGHT, [PAGE, RED, INK], [(INK, PAGE), (PAGE, RED)])
    return painter.palette.colors[painter.paint(Picture(width, height, PAGE, shapes))]


def where(picture, color=PAGE):
    """Return the bounding box of the pixels with another colour."""
    drawn = (picture != np.array(color, np.uint8)).any(axis=2)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return Box(columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)


def test_paint__a_rectangle():
    picture = painted(Rect(Box(10, 20, 30, 40), RED))
    assert where(picture) == Box(10, 20, 30, 40)
    assert (picture[20:60, 10:40] == RED).all()


def test_paint__cells_fill_their_box():
    colors = np.array([[RED, INK, PAGE], [PAGE, RED, INK]], np.uint8)
    picture = painted(Cells(Box(5, 7, 100, 31), colors))
    rows, columns = edges(7, 31, 2), edges(5, 100, 3)
    for row, line in enumerate(colors):
        for column, color in enumerate(line):
            assert (picture[rows[row] : rows[row + 1], columns[column] : columns[column + 1]] == color).all()
    assert where(picture).right == 105


@pytest.mark.parametrize("align", ["left", "center", "right"])
@pytest.mark.parametrize("upright", [False, True])
def test_paint__text_is_inside_its_box(align, upright):
    text = Text("Agpj", 100, 50, STYLE, INK, PAGE, align, upright)
    picture, (box, _) = painted(text), text.placed()
    seen = where(picture)
    assert box.left <= seen.left
    assert box.top <= seen.top
    assert seen.right <= box.right
    assert seen.bottom <= box.bottom
    assert max(box.width - seen.width, box.height - seen.height) <= 2
    along = (box.left, box.left + box.width) if not upright else (-box.bottom, -box.top)
    anchor = 100 if not upright else -50
    expected = {"left": along[0], "center": sum(along) / 2, "right": along[1]}[align]
    assert abs(expected - anchor) <= 2


def test_paint__upright_text_is_the_other_one_turned():
    flat = painted(Text("Rat", 50, 100, STYLE, INK, PAGE), width=200, height=200)
    turned = painted(Text("Rat", 100, 150, STYLE, INK, PAGE, upright=True), width=200, height=200)
    one, other = where(flat), where(turned)
    cut = flat[one.top : one.bottom, one.left : one.right]
    assert np.array_equal(np.rot90(cut), turned[other.top : other.bottom, other.left : other.right])


def test_paint__text_outside_is_cut():
    assert where(painted(Text("wide", 190, 50, STYLE, INK, PAGE))).right == 200
    assert where(painted(Text("wide", -10, 50, STYLE, INK, PAGE))).left == 0


def test_paint__text_on_a_colour_has_no_other_ones():
    picture = painted(Rect(Box(0, 0, 200, 100), RED), Text("on red", 20, 50, STYLE, PAGE, RED))
    seen = np.unique(picture.reshape(-1, 3), axis=0).astype(float)
    line = np.array(PAGE, float) - RED
    away = seen - RED - np.outer((seen - RED) @ line / (line @ line), line)
    assert np.abs(away).max() < 3, "all are mixtures of the two"
    assert len(seen) > 5


def test_paint__a_colour_that_the_palette_lacks():
    with pytest.raises(KeyError):
        painted(Rect(Box(0, 0, 1, 1), (1, 2, 3)))


def test_painter__many_texts_fit_the_palette():
    shades = [(level, level, level) for level in range(200)]
    painter = Painter(LIGHT, shades, [((255, 255, 255), shade) for shade in shades])
    frame = painter.paint(Picture(9, 9, shades[7], (Rect(Box(0, 0, 4, 4), shades[199]),)))
    assert painter.palette.colors[frame[0, 0]].tolist() == [199] * 3
    assert frame.max() < 255


def test_as_svg__shows_the_same_shapes():
    cells = Cells(Box(0, 0, 20, 20), np.array([[RED, INK, INK, RED]], np.uint8))
    upright = Text("<b> & \x07", 100, 50, STYLE, INK, PAGE, "right", upright=True)
    root = ET.fromstring(as_svg(Picture(200, 100, PAGE, (Rect(Box(1, 2, 3, 4), RED), cells, upright)), title="a < b"))
    assert root.attrib["viewBox"] == "0 0 200 100"
    assert root.find(f"{SVG}title").text == "a < b"
    boxes = [tuple(int(one.attrib[name]) for name in ("x", "y", "width", "height")) for one in root.iter(f"{SVG}rect")]
    assert boxes == [(0, 0, 200, 100), (1, 2, 3, 4), (0, 0, 5, 20), (5, 0, 10, 20), (15, 0, 5, 20)]
    (text,) = root.iter(f"{SVG}text")
    assert text.text == "<b> &  "
    assert (text.attrib["text-anchor"], text.attrib["transform"]) == ("end", "rotate(-90 100 50)")
    assert float(text.attrib["textLength"]) > 40
