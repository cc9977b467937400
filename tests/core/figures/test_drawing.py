import logging
from dataclasses import replace

import pytest

from core.domain.figures import DRAWN_FILE, DrawnFigures
from core.figures import FIGURES, contact_sheet, curves
from core.figures.drawing import MOST_LETTERS, draw_figures, write_figure

FAILING_SPEC = curves.FIGURE.spec.model_copy(update={"name": "failing", "stem": None, "formats": ("png", "gif")})


def failing(error):
    def draw(inputs):
        def film():
            yield drawing.still()
            raise error

        drawing = curves.draw(inputs)
        return replace(drawing, film=film)

    return replace(curves.FIGURE, spec=FAILING_SPEC, draw=draw)


def test_draw_figures__a_failed_one_is_reported_as_missing(made_up, tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        record = draw_figures(tmp_path, made_up(), (failing(ValueError("too few " * 99)), *FIGURES))
    assert record.drawn == tuple(figure.spec.name for figure in FIGURES)
    assert record.why_missing("failing").startswith("ValueError: too few")
    assert len(record.why_missing("failing")) == MOST_LETTERS
    assert record.why_missing("curves") is None
    assert not list((tmp_path / "figures").glob("failing*")), "no half of a film is left"
    assert "ValueError" in caplog.text
    assert DrawnFigures.model_validate_json((tmp_path / DRAWN_FILE).read_text()) == record


def test_draw_figures__of_a_comparison(made_up, tmp_path):
    record = draw_figures(tmp_path, made_up().only({"film"}), (curves.FIGURE, contact_sheet.FIGURE))
    assert record.drawn == ("contact-sheet",)
    assert record.why_missing("curves") == "The run has no log and no checkpoints."


def test_write_figure__reads_nothing_that_it_does_not_declare(made_up, tmp_path):
    spec = curves.FIGURE.spec.model_copy(update={"reads": ("log",)})
    with pytest.raises(KeyError, match="'checkpoints' but does not declare it"):
        write_figure(tmp_path, replace(curves.FIGURE, spec=spec), made_up())


@pytest.mark.parametrize("suffix", ["svg", "gif", "mp4"])
def test_write_figure__of_a_format_that_it_cannot_draw(made_up, tmp_path, suffix):
    spec = curves.FIGURE.spec.model_copy(update={"formats": ("png", suffix)})
    with pytest.raises(ValueError, match="declares a format for which it has no"):
        write_figure(tmp_path, replace(curves.FIGURE, spec=spec), made_up())
