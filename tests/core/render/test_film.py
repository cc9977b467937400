from functools import partial

import av
import numpy as np
import pytest
from PIL import Image

from core.domain.formats import FORMATS
from core.domain.spec import RenderSpec
from core.errors import InvalidSpecError
from core.render.film import render_film
from core.render.run_scene import FrameRenderer, Scene


@pytest.fixture
def make(film_inputs, tmp_path):
    def make(*, n_frames=6, **spec):
        inputs = film_inputs(n_frames=n_frames, n_points=200, **spec)
        told = []
        asked = inputs.pop("spec")
        drawn = render_film(
            tmp_path,
            asked,
            partial(FrameRenderer, scene=Scene(**inputs)),
            on_frame=lambda *done: told.append(done),
            on_cheaper=told.append,
        )
        return drawn, told

    return make


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_produce__film_and_frames(make, tmp_path):
    drawn, told = make(tween=1)
    assert drawn == RenderSpec(width=480, height=480, tween=1)
    assert told == [(done, 6) for done in range(1, 7)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.gif", "frames"]
    assert [path.name for path in sorted((tmp_path / "frames").iterdir())] == [f"{index:05d}.png" for index in range(6)]
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.size, film.n_frames) == ((480, 480), 11)


def test_produce__videos_show_what_the_frames_show(make, tmp_path):
    make(n_frames=4, width=481, height=479, fps=2, formats=tuple(FORMATS))
    film, held = decoded(tmp_path / "film.mp4"), 4
    assert (len(film), film[0].shape) == (4 - 1 + held, (480, 482, 3)), "sides of H.264 are even, nothing is scaled"
    for at in range(4):
        frame = np.asarray(Image.open(tmp_path / f"frames/{at:05d}.png").convert("RGB")).astype(int)
        assert np.abs(film[at][:479, :481].astype(int) - frame).mean() < 3
    with Image.open(tmp_path / "film.webp") as webp:
        assert (webp.size, webp.info["loop"]) == ((481, 479), 0)
        webp.seek(1)
        shown = np.asarray(webp.convert("RGB"))
    assert np.array_equal(shown, np.asarray(Image.open(tmp_path / "frames/00001.png").convert("RGB")))


def test_produce__a_budget_of_bytes_is_kept(make, tmp_path):
    make(tween=0)
    budget = (tmp_path / "film.gif").stat().st_size * 4 // 5  # it is still too large without frames between
    for path in (tmp_path / "frames").iterdir():
        path.unlink()
    (tmp_path / "frames").rmdir()
    drawn, told = make(tween=3, max_bytes=budget)
    assert (tmp_path / "film.gif").stat().st_size <= budget
    assert drawn.tween == 0
    assert 320 <= drawn.width < 480
    cheaper = [one for one in told if isinstance(one, RenderSpec)]
    assert [(one.tween, one.width) for one in cheaper[:2]] == [(0, 480), (0, 408)]
    assert cheaper[-1] == drawn
    counted = [one for one in told if not isinstance(one, RenderSpec)]
    assert [done for done, _total in counted] == list(range(1, len(counted) + 1))
    totals = [total for _done, total in counted]
    assert totals == sorted(totals)
    assert counted[-1] == (len(counted), len(counted))


def test_produce__a_budget_that_cannot_be_kept_is_refused(make):
    with pytest.raises(InvalidSpecError, match="even without frames between") as caught:
        make(max_bytes=10_000)
    assert caught.value.field == "render.max_bytes"


def test_render_film__a_format_that_is_named_twice_is_written_once(make, tmp_path):
    make(n_frames=2, fps=2, formats=("mp4", "mp4"))
    assert len(decoded(tmp_path / "film.mp4")) == 2 - 1 + 4
