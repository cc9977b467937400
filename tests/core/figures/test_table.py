"""Each figure of the table has a module, generated documents, formats and a route."""

import importlib
import pkgutil
import xml.etree.ElementTree as ET

import av
import pytest
from PIL import Image

import core.figures
from core.domain.figures import MEDIA_TYPES, declared
from core.figures import FIGURES, document
from core.figures.drawing import draw_figures, write_figure
from core.figures.figure import RunFigure

FILES = [(figure, suffix) for figure in FIGURES for suffix in figure.spec.formats]


def named(case):
    return case.spec.name if isinstance(case, RunFigure) else case


def opened(path, suffix):
    """Read the whole file and return the size of its picture."""
    if suffix == "svg":
        root = ET.fromstring(path.read_text(encoding="utf-8"))
        return tuple(map(int, root.attrib["viewBox"].split()[2:]))
    if suffix == "mp4":
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
        return frames[0].width, frames[0].height
    with Image.open(path) as image:
        assert image.format == suffix.upper()
        image.seek(image.n_frames - 1 if suffix in {"gif", "webp"} else 0)
        image.load()
        return image.size


def content(path, suffix):
    """Return the decoded pictures: x264 sometimes writes equal pictures as different bytes."""
    if suffix == "mp4":
        with av.open(str(path)) as container:
            return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]
    return path.read_bytes()


def test_table__holds_every_figure_file_once():
    modules = [
        importlib.import_module(f"core.figures.{found.name}") for found in pkgutil.iter_modules(core.figures.__path__)
    ]
    declaring = [module.FIGURE for module in modules if hasattr(module, "FIGURE")]
    assert sorted(figure.spec.name for figure in FIGURES) == sorted(figure.spec.name for figure in declaring)
    files = [file for figure in FIGURES for file in figure.spec.files]
    assert len(files) == len(set(files)), "two figures would write one file"


def test_table__generated_documents_are_committed():
    assert document.DECLARED.read_text() == document.declared_text(), "run `make docs` and commit"
    assert document.PAGE.read_text() == document.page(), "run `make docs` and commit"
    assert tuple(declared().values()) == tuple(figure.spec for figure in FIGURES)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("figure", FIGURES, ids=named)
def test_table__draws_each_figure_in_each_of_its_formats(made_up, tmp_path, figure, theme):
    write_figure(tmp_path, figure, made_up(theme=theme))
    for suffix, file in zip(figure.spec.formats, figure.spec.files, strict=True):
        assert min(opened(tmp_path / file, suffix)) > 10
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in written if not name.startswith("film/")} == set(figure.spec.files)


@pytest.mark.parametrize("figure", FIGURES, ids=named)
def test_table__draws_the_same_each_time(made_up, tmp_path, figure):
    inputs = made_up()
    for folder in ("one", "other"):
        write_figure(tmp_path / folder, figure, inputs)
    for suffix, file in zip(figure.spec.formats, figure.spec.files, strict=True):
        one, other = (content(tmp_path / folder / file, suffix) for folder in ("one", "other"))
        assert one == other


@pytest.mark.parametrize("figure", FIGURES, ids=named)
def test_table__a_film_format_that_the_run_does_not_have_is_not_drawn(made_up, tmp_path, figure):
    write_figure(tmp_path, figure, made_up(formats=("gif", "webp")))
    written = {suffix for suffix in MEDIA_TYPES if (tmp_path / figure.spec.file(suffix)).exists()}
    assert written == set(figure.spec.formats) - {"mp4"}


def test_table__all_figures_of_a_run(made_up, tmp_path):
    record = draw_figures(tmp_path, made_up())
    assert record.drawn == tuple(figure.spec.name for figure in FIGURES)
    assert not record.missing


@pytest.mark.parametrize(("figure", "suffix"), FILES, ids=named)
def test_table__the_page_lists_each_figure_and_format(figure, suffix):
    page = document.PAGE.read_text()
    assert f"| `{figure.spec.name}` |" in page
    assert f"`…/figures/{figure.spec.name}.{suffix}` ({MEDIA_TYPES[suffix]})" in page
