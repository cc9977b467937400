"""Embed the probe images with one stored checkpoint (`capture.mode` "offload").

The artifact has a folder for each observer of core.observe. The folder `frame/` holds an Embedded. If a training ends
early, worker.capture publishes the artifacts of the later frames. Those have only an empty file `skipped`.
"""

import json
from typing import Any

from accelerate import Accelerator

from core.learn.embed import load_weights
from core.learn.pixels import ImagesOnDevice
from core.observe.recorder import Recorder
from worker.capture import frame_artifact_facts
from worker.context import StageContext
from worker.loading import create_backbone, load_probe, open_source


def run(ctx: StageContext) -> dict[str, Any]:
    """Embed the probe images of the dataset revision and with the model revision of the training.

    Returns:
        Facts of the frame's artifact: see `frame_artifact_facts`.
    """
    folder = ctx.checkpoint()
    origin = json.loads((folder / "origin.json").read_text())
    source = open_source(ctx, digest=origin["dataset_digest"])
    backbone = create_backbone(ctx, source, revision=origin["model_revision"])
    device = Accelerator(mixed_precision="no").device
    backbone.model.to(device)
    load_weights(folder / "weights.safetensors", backbone)
    probe = ImagesOnDevice(load_probe(ctx, source, size=backbone.image_size), backbone, device=device)
    step = origin["step"]
    records = Recorder(probe, precision=ctx.spec.train.precision).record(
        ctx.output, backbone, step=step, epoch=origin["epoch"], is_last=step == ctx.plan.steps[-1], changed_at=step
    )
    return frame_artifact_facts(ctx.task.index or 0, records)
