"""Datasets: upload, list, show, delete."""

from typing import Any

from fastapi import APIRouter, Request, Response, status

from api.datasets.sources import DatasetOut
from api.http import files
from api.http.idempotency import REPLAYED, IdempotencyKey, replay_header
from api.wiring import PartsOf

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

MULTIPART: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                            "description": "One ZIP, of folders SPLIT/CLASS or CLASS, or of images with a manifest.csv "
                            "(columns file and label, maybe split) or .jsonl at the top; or Parquet files in the image "
                            "format of Hugging Face datasets. Names of folders or files that say train, validation or "
                            "test make the splits; else a fifth of each class evaluates.",
                        },
                        "name": {"type": "string", "description": "What to call it; else the first file's name."},
                        "allow_broken": {
                            "type": "boolean",
                            "default": False,
                            "description": "Leave out images that cannot be used, and name the first of them in the "
                            "report, instead of refusing all.",
                        },
                    },
                },
                "encoding": {"file": {"contentType": "application/octet-stream"}},
            }
        },
    }
}


@router.post(
    "",
    operation_id="uploadDataset",
    summary="Upload a dataset",
    status_code=status.HTTP_201_CREATED,
    responses={201: {"headers": REPLAYED}},
    openapi_extra=MULTIPART,
)
async def upload(
    parts: PartsOf, request: Request, response: Response, idempotency_key: IdempotencyKey = None
) -> DatasetOut:
    """Store a ZIP of labelled images, or Parquet files with an image and a label column.

    Every image is checked before the answer, whose report tells images a class, sizes, splits and duplicates.
    """
    taken = await parts.intake.take(request, idempotency_key=idempotency_key)
    response.headers["Location"] = f"/v1/datasets/{taken.dataset.id}"
    response.headers.update(replay_header(replayed=taken.replayed))
    return taken.dataset


@router.get("", operation_id="listDatasets", summary="List datasets")
def every(parts: PartsOf) -> dict[str, list[DatasetOut]]:
    """All datasets that a run may name: built in, allowed from the hub, uploaded."""
    return {"datasets": parts.intake.every()}


@router.get(
    "/{dataset_id:path}/contact-sheet.png",
    operation_id="getDatasetContactSheet",
    summary="The classes of a dataset as a picture",
    response_class=Response,
    responses=files.of_type("image/png"),
)
@router.head("/{dataset_id:path}/contact-sheet.png", include_in_schema=False)
def contact_sheet(parts: PartsOf, request: Request, dataset_id: str) -> Response:
    """A row a class, of the first 60: its name, how many images it has, and the first of them."""
    return files.answer(request, parts.intake.contact_sheet(dataset_id), "image/png")


@router.get("/{dataset_id:path}", operation_id="getDataset", summary="Show a dataset")
def show(parts: PartsOf, dataset_id: str) -> DatasetOut:
    """A dataset; of an uploaded one, what was found in its files."""
    return parts.intake.one(dataset_id)


@router.delete(
    "/{dataset_id:path}",
    operation_id="deleteDataset",
    summary="Delete an uploaded dataset",
    status_code=status.HTTP_204_NO_CONTENT,
)
def remove(parts: PartsOf, dataset_id: str) -> None:
    """Delete an uploaded dataset. Films that were made from it stay."""
    parts.intake.remove(dataset_id)
