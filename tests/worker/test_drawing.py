from types import SimpleNamespace

from core.domain.spec import RenderSpec
from worker import drawing


def test_draw_film__reports_when_the_film_is_drawn_again_smaller(tmp_path, monkeypatch):
    told, asked = [], RenderSpec(max_bytes=500_000, tween=2)
    smaller = asked.model_copy(update={"tween": 0, "width": 816, "height": 816})

    def render_film(folder, spec, _renderer, *, on_frame, on_cheaper):
        assert (folder, spec) == (tmp_path, asked)
        on_frame(1, 6)
        on_cheaper(smaller)
        return smaller

    monkeypatch.setattr(drawing, "render_film", render_film)
    ctx = SimpleNamespace(
        output=tmp_path,
        spec=SimpleNamespace(render=asked),
        progress=lambda *done: told.append(done),
        emit=lambda event, **data: told.append((event, data)),
    )
    economies = {"width": 816, "height": 816, "tween": 0}
    assert drawing.draw_film(ctx, None) == economies
    assert told == [(1, 6), ("stage.redrawn", {"reason": "the film had more than 500,000 bytes", **economies})]
