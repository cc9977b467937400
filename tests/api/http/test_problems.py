import inspect
import re
from html import unescape

import pytest

from api.http import errors

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("kind", list(errors.known()), ids=lambda kind: kind.__name__)
def test_every_type_is_explained(idle, kind):
    answer = idle.get(f"/problems/{kind.type}")
    assert answer.headers["vary"] == "Accept"
    assert answer.json() == {
        "type": f"/problems/{kind.type}",
        "title": kind.title,
        "status": errors.STATUS[kind],
        "description": inspect.getdoc(kind),
    }


@pytest.mark.parametrize("kind", list(errors.known()), ids=lambda kind: kind.__name__)
def test_every_type_has_a_page(idle, kind):
    page = idle.get(f"/problems/{kind.type}", headers=BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = unescape(page.text)
    assert f"<h1>{kind.title}</h1>" in text
    assert inspect.getdoc(kind).split("\n\n")[0] in text
    assert f"HTTP {errors.STATUS[kind]} " in text


def test_a_page_needs_nothing_from_elsewhere(idle):
    page = idle.get("/problems", headers=BROWSER).text
    assert not re.search(r"https?://|src=|@import", page)


def test_all_are_listed(idle):
    listed = [problem["type"] for problem in idle.get("/problems").json()["problems"]]
    assert listed == sorted(f"/problems/{kind.type}" for kind in errors.known())
    page = idle.get("/problems", headers=BROWSER).text
    assert re.findall(r'href="(/problems/[^"]+)"', page) == listed


@pytest.mark.parametrize("slug", ["nonsense", "%3Cscript%3E"])
def test_unknown(idle, problem, slug):
    problem(idle.get(f"/problems/{slug}", headers=BROWSER), 404, "not-found")
