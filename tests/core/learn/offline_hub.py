"""Models in Hugging Face format in the hub's cache, for tests without access to the hub."""

from pathlib import Path

from transformers import AutoModelForImageClassification, PreTrainedModel, ViTImageProcessorPil

from core.domain.families import FAMILIES, TRANSFORMERS
from core.learn.families import classifier_class

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL_ID = "somebody/tiny-vit"


def cached_repository(cache_dir: Path, model_id: str = MODEL_ID) -> Path:
    """Return the empty folder of one commit of the repository."""
    repository = cache_dir / f"models--{model_id.replace('/', '--')}"
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return folder


def save_processor(folder: Path, **changes: object) -> None:
    options = {"size": {"height": 20, "width": 20}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    ViTImageProcessorPil(**(options | changes)).save_pretrained(folder)


def as_its_user_loads_it(folder: Path, model_type: str) -> PreTrainedModel:
    """Load the model of this folder with transformers, or with our class if transformers lacks the architecture."""
    family = FAMILIES[model_type]
    loaded = AutoModelForImageClassification if family.module == TRANSFORMERS else classifier_class(family)
    return loaded.from_pretrained(folder)
