"""Routes for datasets: upload, list, show, delete."""

from typing import Any

from fastapi import APIRouter, Request, Response, status

from api.datasets.service import Datasets
from api.datasets.sources import DatasetOut
from api.http import files
from api.http.idempotency import REPLAYED, IdempotencyKey, replay_header

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
                            "description": "One ZIP, or one or more Parquet files in the image format of Hugging Face "
                            "datasets. The ZIP has folders SPLIT/CLASS or CLASS, or it has images and, at the top, a "
                            "manifest.csv or .jsonl file with the columns file, label and optionally split. Folder or "
                            "file names with the word train, validation or test define the splits. Without these "
                            "names, a fifth of each class is held out for evaluation.",
                        },
                        "name": {
                            "type": "string",
                            "description": "Name of the dataset. The default is the name of the first file.",
                        },
                        "allow_broken": {
                            "type": "boolean",
                            "default": False,
                            "description": "true: images that cannot be used are left out, and the report names the "
                            "first 20 of them. false: an upload with such images is refused.",
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
    datasets: Datasets, request: Request, response: Response, idempotency_key: IdempotencyKey = None
) -> DatasetOut:
    """Upload and store a ZIP of labelled images, or Parquet files with an image column and a label column.

    The service decodes every image before it responds. The report in the response has the number of images of each
    class, image sizes, splits and duplicates.
    """
    taken = await datasets.take(request, idempotency_key=idempotency_key)
    response.headers["Location"] = f"/v1/datasets/{taken.dataset.id}"
    response.headers.update(replay_header(replayed=taken.replayed))
    return taken.dataset


@router.get("", operation_id="listDatasets", summary="List datasets")
def every(datasets: Datasets) -> dict[str, list[DatasetOut]]:
    """List all datasets that a run may name: built-in datasets, allowed datasets of the hub, and uploads."""
    return {"datasets": datasets.every()}


@router.get(
    "/{dataset_id:path}/contact-sheet.png",
    operation_id="getDatasetContactSheet",
    summary="Get the contact sheet of a dataset",
    response_class=Response,
    responses=files.of_type("image/png"),
)
@router.head("/{dataset_id:path}/contact-sheet.png", include_in_schema=False)
def contact_sheet(datasets: Datasets, request: Request, dataset_id: str) -> Response:
    """Get a picture of an uploaded dataset: a row for each of the first 60 classes, with its name and first images."""
    return files.answer(request, datasets.contact_sheet(dataset_id), "image/png")


@router.get("/{dataset_id:path}", operation_id="getDataset", summary="Show a dataset")
def show(datasets: Datasets, dataset_id: str) -> DatasetOut:
    """Show a dataset. For an uploaded dataset, `report` describes its files."""
    return datasets.one(dataset_id)


@router.delete(
    "/{dataset_id:path}",
    operation_id="deleteDataset",
    summary="Delete an uploaded dataset",
    status_code=status.HTTP_204_NO_CONTENT,
)
def remove(datasets: Datasets, dataset_id: str) -> None:
    """Delete an uploaded dataset. Runs and films that were made from the dataset stay.

    The dataset cannot be deleted while a run that has not ended needs it.
    """
    datasets.remove(dataset_id)
