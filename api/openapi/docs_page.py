"""Interactive documentation of the API: Swagger UI, served from this package. The page uses no other server."""

from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

router = APIRouter(prefix="/docs", include_in_schema=False)

FOLDER = Path(__file__).parent / "swagger_ui"
SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; "  # data: icons of the style sheet; blob: images in responses
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KEPT = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}

# URLs are relative, so that the page also works under a path prefix of a proxy.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Embedreel API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
"""


@router.get("")
async def page() -> HTMLResponse:
    """Send the page, which shows /openapi.json."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": SECURITY_POLICY})


@router.get("/{name}")
async def asset(
    name: Literal["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png", "start.js"],
) -> FileResponse:
    """Send a file of the page."""
    return FileResponse(FOLDER / name, headers=_KEPT)
