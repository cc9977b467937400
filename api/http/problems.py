"""Documentation of errors: one page for each problem type."""

import inspect
from html import escape
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.http import errors, pages
from core.errors import EmbedreelError, NotFoundError

router = APIRouter(prefix="/problems", tags=["service"])


class ProblemTypeOut(BaseModel):
    """A problem type and its meaning."""

    type: str
    title: str
    status: int
    description: str


class ProblemTypeList(BaseModel):
    """All problem types."""

    problems: list[ProblemTypeOut]


@router.get(
    "",
    operation_id="listProblems",
    summary="List problem types",
    response_model=ProblemTypeList,
    responses=pages.NEGOTIATED,
)
async def every(request: Request) -> Response:
    """List all problem types of this service."""
    found = sorted((_explained(kind) for kind in errors.known()), key=lambda explained: explained.type)
    body = pages.listed({explained.type: explained.title for explained in found})
    return pages.answer(request, ProblemTypeList(problems=found).model_dump(), title="Problems", body=body)


@router.get(
    "/{slug}",
    operation_id="explainProblem",
    summary="Explain a problem type",
    response_model=ProblemTypeOut,
    responses=pages.NEGOTIATED,
)
async def explain(request: Request, slug: str) -> Response:
    """Explain one problem type."""
    kind = next((kind for kind in errors.known() if kind.type == slug), None)
    if kind is None:
        raise NotFoundError("There is no problem of this type. GET /problems lists the existing ones.")
    explained = _explained(kind)
    paragraphs = "".join(f"<p>{escape(text)}" for text in explained.description.split("\n\n"))
    phrase = f"HTTP {explained.status} {HTTPStatus(explained.status).phrase}"
    body = f'{paragraphs}<p>{phrase}<p><a href="/problems">All problems</a>'
    return pages.answer(request, explained.model_dump(), title=explained.title, body=body)


def _explained(kind: type[EmbedreelError]) -> ProblemTypeOut:
    return ProblemTypeOut(
        type=f"/problems/{kind.type}",
        title=kind.title,
        status=errors.STATUS[kind],
        description=inspect.getdoc(kind) or "",
    )
