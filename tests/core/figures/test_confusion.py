from itertools import combinations

import av
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from core.draw.colors import THEMES, to_oklab
from core.draw.picture import Cells, Text, as_svg
from core.figures.confusion import FIGURE, Page, confusion, scale_colors
from core.figures.drawing import write_figure

LONG = ("Siamese cat of the eastern kind", "Siamese cat of the western kind", "A & <b>", "Golden retriever\n", "a")


def page_of(inputs):
    return Page(inputs, inputs.probe.labels, inputs.probe.class_names, inputs.checkpoints)


def shapes(picture, kind):
    return [shape for shape in picture.shapes if isinstance(shape, kind)]


def test_confusion__as_scikit_learn_counts():
    labels, predictions = np.random.default_rng(0).integers(0, 7, (2, 500))
    assert np.array_equal(confusion(labels, predictions, 9), confusion_matrix(labels, predictions, labels=np.arange(9)))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_scale_colors__are_monotone_and_distinguishable(theme):
    lightness = to_oklab(scale_colors(THEMES[theme]))[:, 0]
    steps = np.diff(lightness) * (1 if THEMES[theme].dark else -1)
    assert len(lightness) == 25
    assert steps.min() > 0.005


def test_picture__counts_and_the_share_of_each_row(made_up):
    inputs = made_up(n_classes=4)
    page = page_of(inputs)
    for facts in inputs.checkpoints:
        picture = page.picture(facts)
        counts = confusion(inputs.probe.labels, facts.predictions, 4)
        (cells,) = [one for one in shapes(picture, Cells) if one.box == page.matrix]
        level = np.ceil(counts / 20 * 24).astype(int)
        assert np.array_equal(cells.colors, scale_colors(THEMES["light"])[level]), "one scale for all checkpoints"
        told = [text.text for text in shapes(picture, Text) if text.text.isdecimal()]
        assert told == [str(count) for count in counts.ravel() if count], "row by row"


def test_picture__rows_are_true_classes(made_up):
    inputs = made_up(names=("cat", "dog"))
    facts = inputs.checkpoints[0]
    facts.predictions[:] = 1
    page = page_of(inputs)
    numbers = [text for text in shapes(page.picture(facts), Text) if text.text == "40"]
    assert [text.x > page.matrix.left + page.matrix.width / 2 for text in numbers] == [True, True], "one column"
    assert [text.y > page.matrix.top + page.matrix.height / 2 for text in numbers] == [False, True], "two rows"


def test_picture__a_class_without_images_has_an_empty_row(made_up):
    inputs = made_up(names=("cat", "dog", "fox"), n_images=2)
    (cells,) = [one for one in shapes(page_of(inputs).picture(inputs.checkpoints[-1]), Cells) if len(one.colors) == 3]
    assert (cells.colors[2] == scale_colors(THEMES["light"])[0]).all()


def test_picture__shows_step_and_accuracy(made_up):
    inputs = made_up(n_frames=5)
    page = page_of(inputs)
    for facts in inputs.checkpoints:
        told = [text.text for text in shapes(page.picture(facts), Text)]
        assert f"Confusion matrix · step {facts.step:,} · accuracy {100 * facts.accuracy:.1f} %" in told
        assert "A run" in told


@pytest.mark.parametrize(
    ("width", "height"), [(320, 320), (480, 480), (960, 960), (1281, 719), (320, 960), (2160, 320)]
)
@pytest.mark.parametrize("names", [2, 10, 40, 100, LONG, LONG * 8], ids=["2", "10", "40", "100", "long", "40 long"])
def test_picture__no_text_is_cut_or_over_another(made_up, width, height, names):
    names = names if isinstance(names, tuple) else tuple(f"class {label}" for label in range(names))
    inputs = made_up(names=names, n_images=400, width=width, height=height, name="A long name " * 10, n_frames=2)
    picture = page_of(inputs).picture(inputs.checkpoints[0])
    boxes = [(text.text, text.placed()[0]) for text in shapes(picture, Text)]
    for text, box in boxes:
        assert box.left >= 0 <= box.top, text
        assert (box.right <= width, box.bottom <= height) == (True, True), text
    over = [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom
    ]
    assert not over
    assert min(text.style.size for text in shapes(picture, Text)) >= 8


@pytest.mark.parametrize(
    ("n_classes", "side", "every"), [(2, 320, 1), (10, 320, 1), (40, 960, 1), (100, 960, 1), (100, 320, 5)]
)
def test_picture__names_the_classes(made_up, n_classes, side, every):
    inputs = made_up(n_classes=n_classes, width=side, height=side)
    told = [text.text for text in shapes(page_of(inputs).picture(inputs.checkpoints[0]), Text)]
    for label in range(n_classes):
        assert told.count(f"class {label}") == (0 if label % every else 2), "beside a row and above a column"
    assert (f"true class, 1 in {every} named" in told) == (every > 1)


def test_picture__names_that_begin_alike_stay_unlike(made_up):
    inputs = made_up(names=LONG, width=320, height=320)
    told = [text.text for text in shapes(page_of(inputs).picture(inputs.checkpoints[0]), Text)]
    shown = {text for text in told if "…" in text}
    assert len(shown) == 2
    assert {"east" in text for text in shown} == {True, False}


def test_draw__a_film_with_a_frame_a_checkpoint(made_up, tmp_path):
    inputs = made_up(n_frames=5, fps=2, width=321, height=320)
    write_figure(tmp_path, FIGURE, inputs)
    with (
        Image.open(tmp_path / "figures/confusion.gif") as film,
        Image.open(tmp_path / "figures/confusion.png") as still,
    ):
        assert (film.size, film.n_frames) == ((321, 320), 5)
        film.seek(4)
        assert np.array_equal(np.asarray(film.convert("RGB")), np.asarray(still.convert("RGB")))
    with av.open(str(tmp_path / "figures/confusion.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 5 - 1 + 4, "the last one is held for two seconds"
    page = page_of(inputs)
    svg = (tmp_path / "figures/confusion.svg").read_text()
    picture = page.picture(inputs.checkpoints[-1])
    assert svg == as_svg(picture, title="Confusion matrix of A run, step 100")
