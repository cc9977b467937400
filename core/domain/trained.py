"""Trained models: the weights that a run keeps, as a folder in Hugging Face format, and runs that begin with them."""

from core.domain.spec import RunSpec

RUN_PREFIX = "run:"
"""Of a run's `model` that is another run: `run:run_…`."""

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PREPROCESSOR = "preprocessor_config.json"
CARD = "README.md"
"""Made when the folder is downloaded, since it tells what came after the weights; the others are stored."""


def source_run(model: str) -> str | None:
    """Id of the run that this `model` names; None for a preset or a checkpoint of the hub.

    >>> source_run("run:run_1"), source_run("vit-tiny")
    ('run_1', None)
    """
    return model.removeprefix(RUN_PREFIX) if model.startswith(RUN_PREFIX) else None


def begins_with(spec: RunSpec) -> str | None:
    """Key of the stored weights that a run begins with; None where no run has made them, or it trains nothing."""
    return spec.pinned.model_revision if source_run(spec.model) and not spec.compared else None
