"""What a run has made: film, model, checkpoints, and what is told of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.http import files, zip_stream
from api.runs import weights
from api.runs.schemas import CheckpointList
from api.wiring import Parts, PartsOf
from core.domain.evaluation import Evaluation
from core.domain.formats import FORMATS, FilmFormat
from core.domain.label_issues import DataIssues
from core.domain.quality import Highlights, QualityCard
from core.domain.stages import MEASURE, RENDER

router = APIRouter(prefix="/v1/runs/{run_id}", tags=["results"])

MAX_FRAMES = 600
FrameIndex = Annotated[int | None, Query(ge=0, le=MAX_FRAMES, description="From 0; left out: see below.")]


def _serve_film(film_format: FilmFormat) -> None:
    """Add a route for the film in one format."""

    @router.get(
        f"/{film_format.file}",
        operation_id=film_format.operation_id,
        summary=f"The film as {film_format.name.upper()}",
        response_class=Response,
        responses=files.of_type(film_format.media_type),
    )
    @router.head(f"/{film_format.file}", include_in_schema=False)
    def film(parts: PartsOf, request: Request, run_id: str) -> Response:
        """The film, if `render.formats` asks for this format; a GIF is always made."""
        stored = parts.results.file(run_id, RENDER.name, film_format.file)
        return files.answer(request, stored, film_format.media_type)


for _film_format in FORMATS.values():
    _serve_film(_film_format)


@router.get(
    "/frames/{index}.png",
    operation_id="getFrame",
    summary="One frame",
    response_class=Response,
    responses=files.of_type("image/png"),
)
@router.head("/frames/{index}.png", include_in_schema=False)
def frame(parts: PartsOf, request: Request, run_id: str, index: Annotated[int, Path(ge=0, le=MAX_FRAMES)]) -> Response:
    """One frame of the film as a PNG."""
    stored = parts.results.file(run_id, RENDER.name, f"frames/{index:05d}.png")
    return files.answer(request, stored, "image/png")


@router.get(
    "/model",
    operation_id="getTrainedModel",
    summary="The trained model",
    response_class=StreamingResponse,
    responses=zip_stream.DESCRIBED,
)
@router.head("/model", include_in_schema=False)
def model(parts: PartsOf, request: Request, run_id: str) -> Response:
    """A ZIP of the model with its last weights in Hugging Face format, if `train.keep_weights` keeps them.

    It holds `config.json` with the names of the classes, `preprocessor_config.json`, `model.safetensors`, and as
    `README.md` a model card. `from_pretrained` loads the folder. A run begins with it where `model` is `run:<id>`.
    """
    members = weights.members(parts.results, run_id, service=str(request.base_url).rstrip("/"))
    return zip_stream.answer(request, members, filename=f"{run_id}.zip")


@router.get("/checkpoints", operation_id="listCheckpoints", summary="The checkpoints")
def checkpoints(parts: PartsOf, run_id: str) -> CheckpointList:
    """A row a checkpoint that is embedded so far: index, step, epoch, loss and accuracy on the probe set."""
    return CheckpointList(checkpoints=parts.results.checkpoints(run_id))


@router.get(
    "/log.csv",
    operation_id="getLog",
    summary="The training log",
    response_class=StreamingResponse,
    responses={200: {"description": "A line a logged step.", "content": {"text/csv": {}}}},
)
def log(parts: PartsOf, run_id: str) -> StreamingResponse:
    """Step, epoch, loss, learning rate, gradient norm and accuracy, as CSV."""
    return StreamingResponse(parts.results.log(run_id), media_type="text/csv; charset=utf-8")


@router.get(
    "/projection",
    operation_id="getProjection",
    summary="The layout",
    response_class=StreamingResponse,
    responses={200: {"description": "Labels and points.", "content": {"application/json": {}}}},
)
def projection(parts: PartsOf, run_id: str, frame: FrameIndex = None) -> StreamingResponse:
    """`points` is (frames, images, 2), aligned over time; `frame` asks for one alone. `rows` are rows of the split."""
    return StreamingResponse(parts.results.projection(run_id, frame=frame), media_type="application/json")


@router.get("/outliers", operation_id="listOutliers", summary="The outliers of a frame")
def outliers(
    parts: PartsOf,
    run_id: str,
    frame: FrameIndex = None,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 100,
) -> dict[str, Any]:
    """Probe images, the most outlying first; without `frame`, those of the last one.

    `distance` is the mean cosine distance to the nearest neighbours: higher is more outlying, and comparable across
    frames. `cleanlab` is cleanlab's own score, 0 to 1: lower is more outlying, and not comparable across frames.
    `trajectory` is the image's distance in every frame, where at most 1,000 images are asked for.
    """
    return parts.results.outliers(run_id, frame=frame, limit=limit)


@router.get(
    "/quality",
    operation_id="getQuality",
    summary="The quality card",
    response_class=Response,
    responses=files.of_model(QualityCard),
)
def quality(parts: PartsOf, request: Request, run_id: str) -> Response:
    """How far the film can be trusted: a verdict in one line, and what it comes from."""
    return _told(parts, request, run_id, "quality.json")


@router.get(
    "/highlights",
    operation_id="listHighlights",
    summary="What happened while the model learnt",
    response_class=Response,
    responses=files.of_model(Highlights),
)
def highlights(parts: PartsOf, request: Request, run_id: str) -> Response:
    """Classes that separate or merge, jumps of accuracy, outliers that come and go, each with its numbers."""
    return _told(parts, request, run_id, "highlights.json")


@router.get(
    "/evaluation",
    operation_id="getEvaluation",
    summary="How well the model tells the classes apart",
    response_class=Response,
    responses=files.of_model(Evaluation),
)
def evaluation(parts: PartsOf, request: Request, run_id: str) -> Response:
    """At the end of each phase: accuracy by class, confusion matrix, calibration, all of the probe set."""
    return _told(parts, request, run_id, "evaluation.json")


@router.get(
    "/label-issues",
    operation_id="listLabelIssues",
    summary="What looks wrong with the data",
    response_class=Response,
    responses=files.of_model(DataIssues),
)
def label_issues(parts: PartsOf, request: Request, run_id: str) -> Response:
    """Probe images whose labels look wrong, with thumbnails; and those that are nearly training images.

    Labels are judged by cleanlab's `find_label_issues`, by what the last checkpoint says of images that it has never
    trained on.
    """
    return _told(parts, request, run_id, "label_issues.json")


def _told(parts: Parts, request: Request, run_id: str, name: str) -> Response:
    """What `measure` has found."""
    return files.answer(request, parts.results.file(run_id, MEASURE.name, name), "application/json")
