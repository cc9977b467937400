import hashlib
import re

import pytest

from api.openapi.docs_page import FOLDER


def test_page__needs_no_other_server(idle):
    page = idle.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 4
    for address in addresses:
        assert re.fullmatch(r"docs/[a-z0-9.-]+", address), "relative: a proxy may add a prefix"
        assert idle.get(f"/{address}").status_code == 200


def test_page__its_security_policy_allows_no_other_server_and_no_inline_code(idle):
    page = idle.get("/docs")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"<script>|<style>|\son\w+=|style=", page.text)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("swagger-ui-bundle.js", "javascript"), ("swagger-ui.css", "text/css"), ("favicon-32x32.png", "image/png")],
)
def test_asset(idle, name, media_type):
    asset = idle.get(f"/docs/{name}")
    assert asset.content == (FOLDER / name).read_bytes()
    assert media_type in asset.headers["content-type"]


@pytest.mark.parametrize("name", ["ORIGIN.md", "nothing.js", "..%2Fmain.py"])
def test_asset__there_is_no_other(idle, problem, name):
    problem(idle.get(f"/docs/{name}"), 404, "not-found")


def test_assets_are_what_was_published():
    noted = re.findall(r"^ +([0-9a-f]{64})  (\S+)$", (FOLDER / "ORIGIN.md").read_text(), re.MULTILINE)
    published = [path for path in sorted(FOLDER.iterdir()) if path.name not in {"ORIGIN.md", "start.js"}]
    assert noted == [(hashlib.sha256(path.read_bytes()).hexdigest(), path.name) for path in published]
