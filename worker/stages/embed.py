"""Record the probe set by one stored checkpoint (capture mode "offload").

The artifact holds a folder for each observer of core.observe, `frame/`, an Embedded, first. A frame after the early end
of its training holds an empty file `skipped` instead (worker.capture).
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
    """Record with the dataset and the model revision that the checkpoint was trained with."""
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
    return frame_artifact_facts(ctx.stage.index or 0, records)
