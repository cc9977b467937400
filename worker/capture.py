"""Publish the frames, checkpoints and weights of a training while the training runs. Used in the child process."""

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
    """Publishes the parts of the task `fine_tune`: frames or checkpoints, and the weights that the user keeps."""

    def __init__(self, ctx: StageContext, training: Training, probe: ProbeSet) -> None:
        self._ctx, self._training = ctx, training
        images = ImagesOnDevice(probe, training.backbone, device=training.accelerator.device)
        self._recorder = Recorder(images, precision=ctx.spec.train.precision)

    def publish(self, checkpoint: Checkpoint) -> None:
        """Publish a captured checkpoint.

        With `capture.mode` "inline", this publishes the frame. With "offload", this publishes the weights, which the
        task `embed` reads. Weights that the plan keeps for the user are published too.

        Args:
            checkpoint: the captured checkpoint with the live model.
        """
        if self._ctx.spec.capture.mode == "inline":
            self._publish_frame(checkpoint)
        else:
            self._publish_weights(checkpoint)
        self._keep_weights(planned=checkpoint.step, step=checkpoint.step)

    def end(self, step: int) -> None:
        """Publish the remaining parts of the plan if the training has stopped early; otherwise do nothing.

        The final weights are published as the weights of the last planned step. Frames after `step` are published as
        skipped, from the last frame to the first. So if this attempt is interrupted and another attempt trains longer,
        no skipped frame lies between two captured frames.

        Args:
            step: optimiser steps done.
        """
        last = self._ctx.plan.steps[-1]
        if step == last:
            return
        self._ctx.progress(step, step)
        self._keep_weights(planned=last, step=step)
        for part in reversed(self._ctx.task.parts):
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
        """Publish the current weights as those of a planned step, if the plan keeps that step.

        Args:
            planned: step of the part in the plan.
            step: optimiser steps done.
        """
        for part in self._ctx.task.parts:
            if part.effect == "keeps" and part.step == planned:
                folder = self._ctx.beside(part.id)
                trained.save(folder, self._training.backbone)
                self._ctx.publish(part, folder, asdict(self._learned(step)))

    def _skip(self, part: Part) -> None:
        folder = self._ctx.beside(part.id)
        (folder / SKIPPED).touch()
        self._ctx.publish(part, folder, {"frame": self._ctx.plan.task(part.task).index, SKIPPED: True})

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
    """Return the facts that are stored beside a frame's artifact.

    Args:
        index: number of the frame, from 0.
        records: records of the observers, by folder name.

    Returns:
        The frame's number, step, epoch, loss (None if the loss is not finite) and accuracy.
    """
    frame: Embedded = records[embedding.OBSERVER.folder]
    loss = frame.loss if math.isfinite(frame.loss) else None  # JSON has no infinity
    return {"frame": index, "step": frame.step, "epoch": frame.epoch, "loss": loss, "accuracy": frame.accuracy}
