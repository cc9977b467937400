"""Train the model, and publish each captured checkpoint.

The artifact has `log/` (TrainingLog), `probe/` (ProbeSet) and `leaks.json` (TrainTestDuplicates). While the stage runs,
it publishes frames or checkpoints, kept weights (worker.capture), and saved states (worker.training).
"""

from typing import Any

from core.domain.arrays import ProbeSet
from core.domain.label_issues import TrainTestDuplicates
from core.learn import datasets
from core.learn.embed import weights_sha256
from core.learn.training_log import LogRows
from core.measure import train_test_duplicates
from core.store.objects import codecs
from worker import ranks
from worker.capture import CheckpointPublisher
from worker.context import StageContext
from worker.loading import load_probe
from worker.training import PeriodicCheckpointer, ThroughputTimer, Training, train_along


def run(ctx: StageContext) -> dict[str, Any]:
    """Train the model. At each captured step, publish the frame, or the checkpoint for other workers to embed.

    Returns:
        SHA-256 of the final weights, number of parameters, last step, and throughput.
    """
    with ranks.together(ctx, train_along), ctx.stoppable():
        training = Training.begin(ctx)
        backbone = training.backbone
        probe = load_probe(ctx, training.source, size=backbone.image_size)
        publisher = CheckpointPublisher(ctx, training, probe)
        logs = [training.state.log] if training.state else []
        timed = ThroughputTimer(training.checkpoints(PeriodicCheckpointer(ctx)), images=len(training.images.labels))
        for checkpoint in timed:
            logs.append(checkpoint.log)
            publisher.publish(checkpoint)
    log = LogRows.joined(logs)
    publisher.end(log[-1].step)
    codecs.save(ctx.output / "log", log.to_arrays())
    codecs.save(ctx.output / "probe", probe)
    (ctx.output / "leaks.json").write_text(_duplicates(ctx, training, probe).model_dump_json())
    return {
        "weights_sha256": weights_sha256(backbone.model),
        "parameters": backbone.parameters,
        "step": log[-1].step,
        **timed.facts(),
    }


def _duplicates(ctx: StageContext, training: Training, probe: ProbeSet) -> TrainTestDuplicates:
    """Find the probe images that nearly equal a training image."""
    spec = ctx.spec.train
    rows = datasets.training_rows(training.source, train_size=spec.train_size, seed=spec.seed)
    return train_test_duplicates.find(training.images.images, rows, probe)
