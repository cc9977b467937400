"""Content negotiation: a small HTML page for browsers, the same content as JSON for programs."""

from collections.abc import Mapping
from html import escape
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} · Embedreel</title>
<style>
body {{ max-width: 44rem; margin: 4rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif }}
body {{ color: #222; background: #fff }}
dt {{ font-weight: 600 }} dd {{ margin: 0 0 .75rem }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #111 }} a {{ color: #8bf }} }}
</style>
<h1>{title}</h1>
{body}
"""

NEGOTIATED: dict[int | str, dict[str, Any]] = {
    200: {"description": "JSON, or an HTML page if the client accepts HTML.", "content": {"text/html": {}}}
}


def answer(request: Request, content: Mapping[str, Any], *, title: str, body: str) -> Response:
    """Respond with HTML if the client accepts it, else with JSON.

    Args:
        request: its Accept header decides.
        content: the JSON object.
        title: the page's title; it is escaped here.
        body: HTML; the caller has escaped it.
    """
    headers = {"Vary": "Accept"}
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(_PAGE.format(title=escape(title), body=body), headers=headers)
    return JSONResponse(content, headers=headers)


def listed(entries: Mapping[str, str]) -> str:
    """Return paths and their descriptions as an HTML list of links."""
    lines = (f'<dt><a href="{escape(path)}">{escape(path)}</a><dd>{escape(what)}' for path, what in entries.items())
    return f"<dl>{''.join(lines)}</dl>"
