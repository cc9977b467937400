"""The model card of a trained model in the format of the Hugging Face hub: data, recipe, metrics, film.

The card names no licence: the licence depends on the data and on the initial model.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.domain import hub_dataset
from core.domain.families import FAMILIES, TRANSFORMERS
from core.domain.models import PRESETS
from core.domain.spec import RunSpec
from core.domain.trained import source_run

_AUTO = "AutoModelForImageClassification"
"""Class that loads a model of transformers."""


@dataclass(frozen=True, slots=True)
class Learned:
    """Facts of a training that are stored with the weights.

    Attributes:
        step: number of finished optimiser steps.
        images: number of training images.
        classes: class names, in the order of the model's outputs.
        digest: digest of the dataset.
        parameters: number of parameters of the model.
        architecture: class of the model.
        image_size: side of the square input, pixels.
        learning: number of parameters that were trained in at least one phase.
    """

    step: int
    images: int
    classes: Sequence[str]
    digest: str
    parameters: int
    architecture: str
    image_size: int
    learning: int


@dataclass(frozen=True, slots=True)
class CheckpointMetrics:
    """Metrics on the probe set at one step; None for a metric that was not measured."""

    step: int
    accuracy: float | None
    loss: float | None


def written(
    spec: RunSpec, learned: Learned, measured: Sequence[CheckpointMetrics], *, run_id: str, service: str
) -> str:
    """Return the card: Markdown below a YAML header.

    Args:
        spec: spec of the run that kept the weights.
        learned: facts of the training.
        measured: metrics of the checkpoints, in order; the card shows the first and the last.
        run_id: id of the run.
        service: URL of the service, without a trailing slash.
    """
    title = f"# {_plain(spec.name)}\n\n{_origin(spec, learned)}"
    parts = (
        _header(spec),
        title,
        _use(learned),
        _data(spec, learned),
        _recipe(spec, learned),
        _metrics(measured),
        _film(spec, run_id=run_id, service=service),
    )
    return "\n\n".join(parts) + "\n"


def _header(spec: RunSpec) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: image-classification"]
    lines += ["tags:", "- image-classification", "- vision", "- embedreel", "metrics:", "- accuracy"]
    if _on_hub(spec.model):
        lines.append(f"base_model: {json.dumps(spec.model)}")
    if hub := hub_dataset.read(spec.dataset):
        lines += ["datasets:", f"- {json.dumps(hub.id)}"]
    return "\n".join([*lines, "---"])


def _origin(spec: RunSpec, learned: Learned) -> str:
    source = source_run(spec.model)
    if source:
        begun = f"the last weights of run `{source}`"
    else:
        begun = f"`{spec.model}`" + ("" if _on_hub(spec.model) else ", random weights")
    return (
        f"A `{learned.architecture}` of {learned.parameters:,} parameters for images of {learned.image_size} x "
        f"{learned.image_size} pixels, trained for {learned.step:,} steps. The training started from {begun}."
    )


def _use(learned: Learned) -> str:
    ours = [
        family
        for family in FAMILIES.values()
        if family.classifier == learned.architecture and family.module != TRANSFORMERS
    ]
    place, loaded, note = TRANSFORMERS, _AUTO, ""
    for family in ours:
        place, loaded = family.module, family.classifier
        note = (
            f"transformers has no {family.name}. The class of the model is in the source code of Embedreel, "
            f"`{place.replace('.', '/')}.py`. This file needs only torch and transformers.\n\n"
        )
    code = [
        f"from {place} import {loaded}",
        "from transformers import AutoImageProcessor",
        "",
        f'model = {loaded}.from_pretrained(".").eval()',
        'processor = AutoImageProcessor.from_pretrained(".")',
        'logits = model(processor(image, return_tensors="pt")["pixel_values"]).logits',
        "name = model.config.id2label[logits.argmax().item()]",
    ]
    return "## How to use it\n\n" + note + "\n".join(["```python", *code, "```"])


def _data(spec: RunSpec, learned: Learned) -> str:
    rows = {
        "dataset": spec.dataset,
        "digest": learned.digest,
        "training images": f"{learned.images:,}",
        "probe images": f"{spec.capture.probe_size:,}, from the evaluation split",
        "classes": f"{len(learned.classes)}: {', '.join(learned.classes)}",
    }
    return f"## Data\n\n{_table(rows)}"


def _recipe(spec: RunSpec, learned: Learned) -> str:
    revision = {"model_revision": spec.pinned.model_revision} if spec.pinned.model_revision else {}
    learning = f"{learned.learning:,}"
    rows = {"model": spec.model, **revision, "trained parameters": learning, **spec.train.model_dump(mode="json")}
    return f"## Recipe\n\n{_table(rows)}"


def _metrics(measured: Sequence[CheckpointMetrics]) -> str:
    lines = ["| step | accuracy | loss |", "|---|---|---|"]
    ends = [*measured[:1], *measured[1:][-1:]]
    lines += [f"| {one.step:,} | {_share(one.accuracy)} | {_number(one.loss)} |" for one in ends]
    return "## Metrics\n\nOn the probe images, before the training and at its end.\n\n" + "\n".join(lines)


def _film(spec: RunSpec, *, run_id: str, service: str) -> str:
    body = json.dumps(_asked(spec), ensure_ascii=False)
    command = f"curl -s {shlex.quote(service + '/v1/runs')} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    return (
        f"## The film of its training\n\n{service}/v1/runs/{run_id}/film.gif\n\nThis command repeats the training and "
        "the film:\n\n"
        f"```sh\n{command}\n```"
    )


def _asked(spec: RunSpec) -> dict[str, Any]:
    """Return the body of a request for the same run. If there are phases, the fields of a single phase are left out."""
    body = spec.model_dump(mode="json", exclude={"pinned", "compared"}, exclude_none=True)
    if spec.train.phases:
        for name in ("recipe", "steps", "learning_rate", "weight_decay", "warmup"):
            del body["train"][name]
    else:
        del body["train"]["phases"]
    return body


def _table(rows: Mapping[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in rows.items())])


def _cell(value: object) -> str:
    return _plain(value if isinstance(value, str) else json.dumps(value))


def _plain(text: str) -> str:
    """Return the text on one line, escaped for a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _on_hub(model: str) -> bool:
    return model not in PRESETS and source_run(model) is None
