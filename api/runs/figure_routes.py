"""Routes for the figures of a run: the list, and each figure in each of its formats."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from api.http import files
from api.runs import figures
from api.runs.artifacts import Artifacts, RunArtifacts
from api.runs.figures import FigureList
from core.domain.figures import MEDIA_TYPES, declared

router = APIRouter(prefix="/v1/runs/{run_id}", tags=["results"])

_SUFFIXES = [suffix for suffix in MEDIA_TYPES if any(suffix in spec.formats for spec in declared().values())]
FigureName = Annotated[
    str,
    Path(description="Name of the figure, as `GET …/figures` lists it.", json_schema_extra={"enum": list(declared())}),
]
Suffix = Annotated[str, Path(description="One of the figure's formats.", json_schema_extra={"enum": list(_SUFFIXES)})]


def _described() -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a figure. The content may have any of the media types."""
    answers = files.of_type("application/octet-stream")
    content = {MEDIA_TYPES[suffix]: files.content_of(MEDIA_TYPES[suffix]) for suffix in _SUFFIXES}
    return {
        status: answer | ({"content": content} if "content" in answer else {}) for status, answer in answers.items()
    }


@router.get("/figures", operation_id="listFigures", summary="List figures")
def list_figures(artifacts: Artifacts, run_id: str) -> FigureList:
    """List all figures with description, formats and links. A figure that is not available has a reason."""
    return figures.figures(artifacts, run_id)


@router.get(
    "/figures/{name}.{suffix}",
    operation_id="getFigure",
    summary="Get a figure",
    response_class=Response,
    responses=_described(),
)
@router.head("/figures/{name}.{suffix}", include_in_schema=False)
def get_figure(artifacts: Artifacts, request: Request, run_id: str, name: FigureName, suffix: Suffix) -> Response:
    """Get a figure in one of its formats. `GET …/figures` lists figures and formats."""
    return answer(artifacts, request, run_id, name, suffix)


@router.get(
    "/figures/{name}",
    operation_id="getFigureInDefaultFormat",
    summary="Get a figure in its default format",
    response_class=Response,
    responses=_described(),
)
@router.head("/figures/{name}", include_in_schema=False)
def get_default_figure(artifacts: Artifacts, request: Request, run_id: str, name: FigureName) -> Response:
    """Get a figure in the first of its formats."""
    return answer(artifacts, request, run_id, name)


def answer(artifacts: RunArtifacts, request: Request, run_id: str, name: str, suffix: str | None = None) -> Response:
    """Respond with the file of a figure. `suffix` is the format; None means the default format."""
    stored, found = figures.file(artifacts, run_id, name, suffix)
    return files.answer(request, stored, MEDIA_TYPES[found])


def _alias(path: str, name: str, operation_id: str, summary: str) -> None:
    """Add a route for the PNG of a figure at an older path, which stays for existing clients."""

    @router.get(
        path, operation_id=operation_id, summary=summary, response_class=Response, responses=files.of_type("image/png")
    )
    @router.head(path, include_in_schema=False)
    def figure(artifacts: Artifacts, request: Request, run_id: str) -> Response:
        return answer(artifacts, request, run_id, name, "png")

    figure.__doc__ = f"Get the figure `{name}`. The path `…/figures/{name}.png` has the same content."


_alias("/contact-sheet.png", "contact-sheet", "getContactSheet", "Get four frames of the film as a picture")
_alias("/curves.png", "curves", "getCurves", "Get loss and accuracy as a picture")
