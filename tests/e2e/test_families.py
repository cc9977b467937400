"""Each family of models by HTTP: a checkpoint in the cache of the hub is filmed, trained, and used by another run."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from core.domain.families import FAMILIES
from core.learn.families import classifier_class
from testing.service import serving
from tests.core.learn.offline_hub import as_its_user_loads_it, cached_repository, save_processor
from tests.core.learn.small_families import CONFIGS, SIDE

RUN = {
    "dataset": "digits",
    "train": {"steps": 4, "batch_size": 16, "train_size": 64, "keep_weights": "last"},
    "capture": {"frames": 3, "probe_size": 40},
    "render": {"width": 320, "height": 320},
}


def repository(model_type):
    return f"somebody/{model_type}"


def finished(service, **body):
    run = service.wait(service.submit(**RUN | body))
    assert run["status"] == "succeeded", run["error"]
    return run


def losses(service, run):
    return [row["loss"] for row in service.json(f"/v1/runs/{run['id']}/checkpoints")["checkpoints"]]


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """A service without access to the hub, with a random checkpoint of each family in its cache."""
    cache = tmp_path_factory.mktemp("hub")
    torch.manual_seed(3)
    for model_type, config in CONFIGS.items():
        folder = cached_repository(cache, repository(model_type))
        classifier_class(FAMILIES[model_type])(config).save_pretrained(folder)
        save_processor(folder, size={"height": SIDE, "width": SIDE})
    variables = {
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "EMBEDREEL_ALLOWED_MODELS": json.dumps([repository(model_type) for model_type in CONFIGS]),
    }
    with serving(tmp_path_factory.mktemp("families"), variables) as service:
        yield service


def test_families__all_are_tested():
    assert CONFIGS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("model_type", CONFIGS)
def test_family__a_checkpoint_is_filmed_and_its_trained_model_starts_a_run(offline, model_type, tmp_path):
    run = finished(offline, model=repository(model_type))
    film = Image.open(io.BytesIO(offline.get(f"/v1/runs/{run['id']}/film.gif")))
    assert (film.size, film.n_frames) == ((320, 320), 3)
    layouts = np.array(offline.json(f"/v1/runs/{run['id']}/projection")["points"])
    assert layouts.shape == (3, 40, 2)
    assert np.isfinite(layouts).all()
    assert np.ptp(layouts, axis=1).min() > 0
    began, *_, ended = losses(offline, run)
    assert began != ended

    with zipfile.ZipFile(io.BytesIO(offline.get(run["links"]["model"]))) as packed:
        packed.extractall(tmp_path)
    [config] = tmp_path.rglob("config.json")
    kept = as_its_user_loads_it(config.parent, model_type)
    assert kept.config.id2label == {label: str(label) for label in range(10)}

    later = finished(offline, model=f"run:{run['id']}")
    assert losses(offline, later)[0] == ended
