"""Properties of every format of the film."""

import pkgutil

import numpy as np
import pytest
from PIL import Image, ImageSequence

from core.domain.formats import FORMATS, GIF
from core.domain.spec import RenderSpec
from core.draw.palette import Palette, build_palette
from core.render import encode
from core.render.encode import film_writer

SHARED = {"video", "png"}
every_format = pytest.mark.parametrize("name", FORMATS)


@pytest.fixture(scope="module")
def palette() -> Palette:
    return build_palette(4, np.zeros((0, 1, 1, 3), dtype=np.uint8))


def blank(*shades: int) -> list[np.ndarray]:
    """Return a frame of one colour for each index."""
    return [np.full((64, 96), shade, dtype=np.uint8) for shade in shades]


def test_formats__a_module_each_and_no_module_without_an_entry() -> None:
    assert {module.name for module in pkgutil.iter_modules(encode.__path__)} - SHARED == FORMATS.keys()


def test_formats__the_spec_takes_these_and_always_makes_a_gif() -> None:
    field = RenderSpec.model_json_schema()["properties"]["formats"]
    assert field["items"]["enum"] == list(FORMATS)
    assert field["maxItems"] == len(FORMATS)
    assert field["default"] == [GIF]


def test_formats__media_types_and_operations_are_distinct() -> None:
    for told in ("media_type", "operation_id"):
        assert len({getattr(film_format, told) for film_format in FORMATS.values()}) == len(FORMATS)


@every_format
def test_formats__a_film_can_be_read_back(tmp_path, palette, name) -> None:
    frames = blank(0, 3, 6)
    with film_writer(name, tmp_path / f"film.{name}", palette, fps=4) as writer:
        for frame in frames:
            writer.add(frame)
    assert [path.name for path in tmp_path.iterdir()] == [FORMATS[name].file]
    shown = decoded(tmp_path / FORMATS[name].file)
    assert len(shown) >= len(frames)
    for picture, frame in zip(shown, frames, strict=False):
        assert np.abs(picture.astype(int) - palette.colors[frame].astype(int)).mean() < 4


@every_format
def test_formats__an_error_inside_the_block_is_raised(tmp_path, palette, name) -> None:
    def stop_after_a_frame() -> None:
        with film_writer(name, tmp_path / f"film.{name}", palette, fps=4) as writer:
            writer.add(blank(0)[0])
            raise LookupError("stop")

    with pytest.raises(LookupError, match="stop"):
        stop_after_a_frame()


def decoded(path) -> list[np.ndarray]:
    if path.suffix == ".mp4":
        import av

        with av.open(str(path)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with Image.open(path) as film:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
