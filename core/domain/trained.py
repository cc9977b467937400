"""Trained models: names of the stored files, and runs that start from the weights of another run."""

from core.domain.spec import RunSpec

RUN_PREFIX = "run:"
"""Prefix of a `model` that names another run: `run:run_…`."""

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PREPROCESSOR = "preprocessor_config.json"
CARD = "README.md"
"""The model card. It is written at each download, because it contains later facts. The other files are stored."""


def source_run(model: str) -> str | None:
    """Return the id of the run that `model` names; None for a preset or a checkpoint on the hub.

    >>> source_run("run:run_1"), source_run("vit-tiny")
    ('run_1', None)
    """
    return model.removeprefix(RUN_PREFIX) if model.startswith(RUN_PREFIX) else None


def begins_with(spec: RunSpec) -> str | None:
    """Return the key of the stored weights that a run starts from.

    None if the run starts from a preset or a checkpoint on the hub, or trains nothing.
    """
    return spec.pinned.model_revision if source_run(spec.model) and not spec.compared else None
