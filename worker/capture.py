"""What a training publishes at each captured checkpoint and at its end. Runs in the child process."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from core.domain.arrays import Embedded, ProbeSet
from core.domain.model_card import Learned
from core.domain.plan import SKIPPED, Part
from core.learn import trained
from core.learn.embed import save_weights
from core.learn.hooks import Checkpoint
from core.learn.learning import how_many_learn
from core.learn.pixels import ImagesOnDevice
from core.observe import embedding
from core.observe.recorder import Recorder
from worker.context import StageContext
from worker.training import Training


class CheckpointPublisher:
    """Publishes the parts of the stage `fine_tune`: frames or checkpoints, and kept weights."""

    def __init__(self, ctx: StageContext, training: Training, probe: ProbeSet) -> None:
        self._ctx, self._training = ctx, training
        images = ImagesOnDevice(probe, training.backbone, device=training.accelerator.device)
        self._recorder = Recorder(images, precision=ctx.spec.train.precision)

    def publish(self, checkpoint: Checkpoint) -> None:
        """Publish a checkpoint: its frame, or its weights for others to record; and the weights that are kept."""
        if self._ctx.spec.capture.mode == "inline":
            self._publish_frame(checkpoint)
        else:
            self._publish_weights(checkpoint)
        self._keep_weights(planned=checkpoint.step, step=checkpoint.step)

    def end(self, step: int) -> None:
        """Where training has ended before its last step, publish what the plan has after it.

        The last frames come first. If another training of the same run goes on longer, the frames that are there then
        have no gap between them.

        Args:
            step: optimiser steps done.
        """
        last = self._ctx.plan.steps[-1]
        if step == last:
            return
        self._ctx.progress(step, step)
        self._keep_weights(planned=last, step=step)
        for part in reversed(self._ctx.stage.parts):
            if part.effect == "completes" and part.step is not None and part.step > step:
                self._skip(part)

    def _publish_frame(self, checkpoint: Checkpoint) -> None:
        step, changed_at, stopping = checkpoint.step, checkpoint.backbone_changed_at, self._training.early_stopping
        is_last = step == self._ctx.plan.steps[-1]
        if stopping is not None:
            loss = self._recorder.loss(checkpoint.backbone, step=step, changed_at=changed_at)
            is_last = stopping.record_loss(step, loss) or is_last
        part = self._ctx.frame_part(checkpoint.index)
        folder = self._ctx.beside(part.id)
        records = self._recorder.record(
            folder, checkpoint.backbone, step=step, epoch=checkpoint.epoch, is_last=is_last, changed_at=changed_at
        )
        self._ctx.publish(part, folder, frame_artifact_facts(checkpoint.index, records))

    def _publish_weights(self, checkpoint: Checkpoint) -> None:
        part = self._ctx.frame_part(checkpoint.index)
        folder = self._ctx.beside(part.id)
        save_weights(folder / "weights.safetensors", checkpoint.backbone)
        origin = {
            "step": checkpoint.step,
            "epoch": checkpoint.epoch,
            "dataset_digest": self._training.source.facts.digest,
            "model_revision": checkpoint.backbone.revision,
        }
        (folder / "origin.json").write_text(json.dumps(origin))
        self._ctx.publish(part, folder, {"step": checkpoint.step, "epoch": checkpoint.epoch})

    def _keep_weights(self, *, planned: int, step: int) -> None:
        """Publish the weights of a step under the step that they were planned for."""
        for part in self._ctx.stage.parts:
            if part.effect == "keeps" and part.step == planned:
                folder = self._ctx.beside(part.id)
                trained.save(folder, self._training.backbone)
                self._ctx.publish(part, folder, asdict(self._learned(step)))

    def _skip(self, part: Part) -> None:
        folder = self._ctx.beside(part.id)
        (folder / SKIPPED).touch()
        self._ctx.publish(part, folder, {"frame": self._ctx.plan.stage(part.stage).index, SKIPPED: True})

    def _learned(self, step: int) -> Learned:
        backbone, facts = self._training.backbone, self._training.source.facts
        return Learned(
            step=step,
            images=len(self._training.images.labels),
            classes=facts.class_names,
            digest=facts.digest,
            parameters=backbone.parameters,
            architecture=type(backbone.model).__name__,
            image_size=backbone.image_size,
            learning=how_many_learn(backbone, self._ctx.spec.train),
        )


def frame_artifact_facts(index: int, records: Mapping[str, Any]) -> dict[str, Any]:
    """What a frame's artifact says of itself: its number, step, epoch, loss (None if not finite) and accuracy."""
    frame: Embedded = records[embedding.OBSERVER.folder]
    loss = frame.loss if math.isfinite(frame.loss) else None  # JSON has no infinity
    return {"frame": index, "step": frame.step, "epoch": frame.epoch, "loss": loss, "accuracy": frame.accuracy}
