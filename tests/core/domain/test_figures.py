import pytest
from pydantic import ValidationError

from core.domain import figures
from core.domain.comparison import compare
from core.domain.figures import OF_COMPARISON, DrawnFigures, FigureSpec, MissingFigure, as_json, declared, versions
from core.domain.plan import build
from core.domain.spec import ComparedRun, PinnedSources, RenderSpec, RunSpec

SPEC = FigureSpec(name="one", title="One", shows="One.", formats=("png", "gif"), reads=("log",))
RUN = RunSpec(name="a", dataset="digits", pinned=PinnedSources(dataset_digest="digits-v1"))


@pytest.mark.parametrize("name", ["", "Big", "a_b", "a.png", "../a", "1", "a" * 41])
def test_spec__names_are_for_addresses(name):
    with pytest.raises(ValidationError):
        FigureSpec.model_validate(SPEC.model_dump() | {"name": name})


def test_spec__files():
    assert SPEC.files == ("figures/one.png", "figures/one.gif")
    assert SPEC.model_copy(update={"stem": "older"}).files == ("older.png", "older.gif")


def test_declared__agrees_with_as_json():
    assert as_json(tuple(declared().values())) == figures.DECLARED.read_text()


def test_drawn__why_missing():
    record = DrawnFigures(drawn=("a",), missing=(MissingFigure(name="b", reason="no"),))
    assert (record.why_missing("a"), record.why_missing("b")) == (None, "no")


def test_versions__of_drawable_stages():
    assert len(versions()) == len(declared())
    assert [one.split()[0] for one in versions(OF_COMPARISON)] == [
        spec.name for spec in declared().values() if spec.reads == ("film",)
    ]


def keys():
    runs = [ComparedRun(run=f"run_{name}", spec=RUN.model_copy(update={"name": name})) for name in "ab"]
    comparison = build(compare(runs, name="both", render=RenderSpec())).tasks[0].key
    return [stage.key for stage in build(RUN).tasks], comparison


@pytest.mark.parametrize("reads", ["log", "film"])
@pytest.mark.parametrize("change", [{}, {"version": 2}, {"formats": ("png",)}])
def test_plan__a_new_or_changed_figure_is_drawn_by_a_new_drawing(monkeypatch, reads, change):
    spec = SPEC.model_copy(update={"reads": (reads,)})
    before = {**declared(), **({"one": spec} if change else {})}
    after = {**declared(), "one": spec.model_copy(update=change)}
    monkeypatch.setattr(figures, "declared", lambda: before)
    (*others, render), comparison = keys()
    monkeypatch.setattr(figures, "declared", lambda: after)
    (*same, anew), compared = keys()
    assert (others, render != anew) == (same, True), "nothing is trained or measured anew"
    assert (comparison != compared) == (reads == "film"), "a comparison has nothing but its film"
