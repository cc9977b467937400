"""A repository of the hub as its cache keeps it, for tests that reach no hub."""

from pathlib import Path

from transformers import ViTImageProcessorPil

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL_ID = "somebody/tiny-vit"


def cached_repository(cache_dir: Path, model_id: str = MODEL_ID) -> Path:
    """The folder of one commit of the repository, still empty."""
    repository = cache_dir / f"models--{model_id.replace('/', '--')}"
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return folder


def save_processor(folder: Path, **changes: object) -> None:
    options = {"size": {"height": 20, "width": 20}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    ViTImageProcessorPil(**(options | changes)).save_pretrained(folder)
