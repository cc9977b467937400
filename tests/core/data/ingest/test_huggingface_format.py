"""Files that the `datasets` library writes are read as the library reads them."""

import datasets
import numpy as np
import pytest
from PIL import Image

from core.data.ingest.inspect import convert
from core.data.ingest.opening import UploadedFile
from core.data.uploaded import UploadedSource

NAMES = ["zebra", "ant"]


@pytest.fixture(autouse=True)
def _no_progress_bars():
    datasets.disable_progress_bars()


@pytest.fixture(params=["ClassLabel", "int64", "string", "bool"])
def dataset(request):
    values = np.random.default_rng(0).integers(0, 256, (24, 10, 12, 3), np.uint8)
    labels = {"string": ["b", "a"] * 12, "bool": [True, False] * 12}.get(request.param, [1, 0] * 12)
    kind = datasets.ClassLabel(names=NAMES) if request.param == "ClassLabel" else datasets.Value(request.param)
    return datasets.Dataset.from_dict(
        {"picture": [Image.fromarray(one) for one in values], "kind": labels, "score": [0.5] * 24},
        features=datasets.Features({"picture": datasets.Image(), "kind": kind, "score": datasets.Value("float32")}),
    )


def test_convert__files_of_the_library(dataset, tmp_path):
    dataset.select(range(16)).to_parquet(tmp_path / "a")
    dataset.select(range(16, 24)).to_parquet(tmp_path / "b")
    files = [UploadedFile(tmp_path / "a", "train.parquet"), UploadedFile(tmp_path / "b", "test.parquet")]
    report = convert(files, tmp_path / "ds_1", max_pixels=1000)

    label = dataset.features["kind"]
    if isinstance(label, datasets.ClassLabel):
        assert report["class_names"] == NAMES
    source = UploadedSource(tmp_path / "ds_1")
    names = np.array(source.facts.class_names)
    for split, rows in (("train", range(16)), ("evaluation", range(16, 24))):
        expected = dataset.select(rows)
        as_names = [
            label.int2str(value) if isinstance(label, datasets.ClassLabel) else str(value).lower()
            for value in expected["kind"]
        ]
        assert names[source.labels(split)].tolist() == as_names
        squares = source.images(split, np.arange(len(rows)), size=10)
        for square, image in zip(squares, expected["picture"], strict=True):
            np.testing.assert_array_equal(square, np.asarray(image.crop((1, 0, 11, 10))))
    assert report["image_size"] == 12
