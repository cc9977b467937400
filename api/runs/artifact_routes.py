"""Routes for the results of a run: film, model, checkpoints, log, layout, outliers and reports."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.http import files, zip_stream
from api.runs import weights
from api.runs.artifacts import Artifacts, RunArtifacts
from api.runs.schemas import CheckpointList
from core.domain.evaluation import Evaluation
from core.domain.formats import FORMATS, FilmFormat
from core.domain.label_issues import DataIssues
from core.domain.quality import Highlights, QualityCard
from core.domain.stages import MEASURE, RENDER

router = APIRouter(prefix="/v1/runs/{run_id}", tags=["results"])

MAX_FRAMES = 600
"""Largest frame index that a route accepts. `capture.frames` is at most 600."""

FrameIndex = Annotated[
    int | None, Query(ge=0, le=MAX_FRAMES, description="Index of the frame, from 0. The default is described above.")
]


def _serve_film(film_format: FilmFormat) -> None:
    """Add a route for the film in one format."""

    @router.get(
        f"/{film_format.file}",
        operation_id=film_format.operation_id,
        summary=f"Get the film as {film_format.name.upper()}",
        response_class=Response,
        responses=files.of_type(film_format.media_type),
    )
    @router.head(f"/{film_format.file}", include_in_schema=False)
    def film(artifacts: Artifacts, request: Request, run_id: str) -> Response:
        """Get the film in this format. A GIF is always made, other formats only if `render.formats` lists them."""
        stored = artifacts.file(run_id, RENDER.name, film_format.file)
        return files.answer(request, stored, film_format.media_type)


for _film_format in FORMATS.values():
    _serve_film(_film_format)


@router.get(
    "/frames/{index}.png",
    operation_id="getFrame",
    summary="Get a frame",
    response_class=Response,
    responses=files.of_type("image/png"),
)
@router.head("/frames/{index}.png", include_in_schema=False)
def frame(
    artifacts: Artifacts, request: Request, run_id: str, index: Annotated[int, Path(ge=0, le=MAX_FRAMES)]
) -> Response:
    """Get one frame of the film as a PNG."""
    stored = artifacts.file(run_id, RENDER.name, f"frames/{index:05d}.png")
    return files.answer(request, stored, "image/png")


@router.get(
    "/model",
    operation_id="getTrainedModel",
    summary="Get the trained model",
    response_class=StreamingResponse,
    responses=zip_stream.DESCRIBED,
)
@router.head("/model", include_in_schema=False)
def model(artifacts: Artifacts, request: Request, run_id: str) -> Response:
    """Get a ZIP of the trained model in Hugging Face format, if `train.keep_weights` is "last" or "all".

    The ZIP has `config.json` with the class names, `preprocessor_config.json`, `model.safetensors` with the last
    weights, and a model card, `README.md`. `from_pretrained` loads the unpacked folder. Another run starts from these
    weights if its `model` is `run:<id>`.
    """
    members = weights.members(artifacts, run_id, service=str(request.base_url).rstrip("/"))
    return zip_stream.answer(request, members, filename=f"{run_id}.zip")


@router.get("/checkpoints", operation_id="listCheckpoints", summary="List checkpoints")
def checkpoints(artifacts: Artifacts, run_id: str) -> CheckpointList:
    """List the checkpoints whose embeddings are stored so far, with loss and accuracy on the probe set."""
    return CheckpointList(checkpoints=artifacts.checkpoints(run_id))


@router.get(
    "/log.csv",
    operation_id="getLog",
    summary="Get the training log",
    response_class=StreamingResponse,
    responses={200: {"description": "CSV with a header and a row for each logged step.", "content": {"text/csv": {}}}},
)
def log(artifacts: Artifacts, run_id: str) -> StreamingResponse:
    """Get step, epoch, training loss, learning rate, gradient norm and accuracy of each logged step, as CSV.

    `accuracy` is measured on the probe set and is empty at steps without a checkpoint.
    """
    return StreamingResponse(artifacts.log(run_id), media_type="text/csv; charset=utf-8")


@router.get(
    "/projection",
    operation_id="getProjection",
    summary="Get the layout",
    response_class=StreamingResponse,
    responses={200: {"description": "Points, labels and frames as JSON.", "content": {"application/json": {}}}},
)
def projection(artifacts: Artifacts, run_id: str, frame: FrameIndex = None) -> StreamingResponse:
    """Get the positions of the probe images in the film. Without `frame`, all frames are returned.

    `points` has the shape (frames, images, 2) and is aligned over the frames. `rows` are the rows of the images in the
    evaluation split, and `labels` are indices into `class_names`.
    """
    return StreamingResponse(artifacts.projection(run_id, frame=frame), media_type="application/json")


@router.get("/outliers", operation_id="listOutliers", summary="List the outliers of a frame")
def outliers(
    artifacts: Artifacts,
    run_id: str,
    frame: FrameIndex = None,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 100,
) -> dict[str, Any]:
    """List the probe images of a frame, most outlying first. Without `frame`, the last frame is used.

    `distance` is the mean cosine distance to the k nearest neighbours, 0 to 2. Higher is more outlying; values of
    different frames are comparable. `cleanlab` is the score of cleanlab, 0 to 1. Lower is more outlying; values of
    different frames are not comparable. `trajectory` is the image's `distance` in every frame; null if `limit` is above
    1,000.
    """
    return artifacts.outliers(run_id, frame=frame, limit=limit)


@router.get(
    "/quality",
    operation_id="getQuality",
    summary="Get the quality card",
    response_class=Response,
    responses=files.of_model(QualityCard),
)
def quality(artifacts: Artifacts, request: Request, run_id: str) -> Response:
    """Get a one-line verdict on whether motion and neighbourhoods in the film can be trusted, and the measures."""
    return _told(artifacts, request, run_id, "quality.json")


@router.get(
    "/highlights",
    operation_id="listHighlights",
    summary="List highlights of the training",
    response_class=Response,
    responses=files.of_model(Highlights),
)
def highlights(artifacts: Artifacts, request: Request, run_id: str) -> Response:
    """List events of the training with their numbers: classes that separate or merge, accuracy jumps, new outliers."""
    return _told(artifacts, request, run_id, "highlights.json")


@router.get(
    "/evaluation",
    operation_id="getEvaluation",
    summary="Get the evaluation of the model",
    response_class=Response,
    responses=files.of_model(Evaluation),
)
def evaluation(artifacts: Artifacts, request: Request, run_id: str) -> Response:
    """Get accuracy by class, confusion matrix and calibration on the probe set, at the end of each phase."""
    return _told(artifacts, request, run_id, "evaluation.json")


@router.get(
    "/label-issues",
    operation_id="listLabelIssues",
    summary="List suspected errors in the data",
    response_class=Response,
    responses=files.of_model(DataIssues),
)
def label_issues(artifacts: Artifacts, request: Request, run_id: str) -> Response:
    """List probe images with suspected label errors, and probe images that are near-duplicates of training images.

    cleanlab's `find_label_issues` finds the label errors from the class probabilities of the last checkpoint. The probe
    images belong to the evaluation split, so the model was not trained on them.
    """
    return _told(artifacts, request, run_id, "label_issues.json")


def _told(artifacts: RunArtifacts, request: Request, run_id: str, name: str) -> Response:
    """Respond with a JSON file of the stage `measure`."""
    return files.answer(request, artifacts.file(run_id, MEASURE.name, name), "application/json")
