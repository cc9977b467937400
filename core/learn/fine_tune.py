"""Training as a generator of checkpoints: the consumer decides what is done with each one.

    for checkpoint in fine_tune(backbone, images, spec=spec, capture_steps=(0, 10, 20)):
        ...  # the live model; call eval() before asking it anything, training mode is restored

The updates themselves are made by `core.learn.trainer`. Everything that happens beside them is a hook
(`core.learn.hooks`): progress, adaptive capture, early stopping, saved states.

A training can continue from any state that was saved, and ends with the same weights and log:

    fine_tune(..., hooks=[Saver()])  # its on_pause calls state.save(folder)
    fine_tune(..., hooks=[Saver()], resume_from=StoredState.load(folder))
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from accelerate import Accelerator

from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.learn.backbones import Backbone
from core.learn.hooks import Checkpoint, HookList, TrainingHook
from core.learn.trainer import Trainer
from core.learn.training_state import StoredState

# Losses stay on the device until a checkpoint or the next multiple of this many steps: a diverged run ends soon, and
# the device is rarely waited for. A multiple, so that processes sum the same losses wherever a training was resumed.
_FETCH_EVERY = 25


def fine_tune(
    backbone: Backbone,
    data: LabelledImages,
    *,
    spec: TrainSpec,
    capture_steps: Sequence[int],
    hooks: Sequence[TrainingHook] = (),
    resume_from: StoredState | None = None,
    accelerator: Accelerator | None = None,
) -> Iterator[Checkpoint]:
    """Train the model, phase by phase, and yield it at the steps asked for.

    On a CPU, the same arguments and number of threads give the same weights and log, bit by bit, resumed or not.

    Args:
        backbone: trained in place.
        data: (M, S, S, 3) images at the model's input size.
        spec: how to learn.
        capture_steps: rising steps, the first 0 (before any update), the last at most spec.steps; training
            ends with the last one. A hook may select some of them.
        hooks: called at the moments that `TrainingHook` describes.
        resume_from: the state to continue from; None means from the beginning. Only later checkpoints are yielded,
            none if it is the last one's state; the model gets the state's weights all the same. The hooks are restored
            from it. Every process is given the same state, and everything else that affects learning must be as it
            was when the state was saved.
        accelerator: device and processes; None means what accelerate finds. Its own mixed precision must be
            off: spec.precision is what counts. Every process iterates; what is stored comes from the main
            one's checkpoints.

    Yields:
        A checkpoint a captured step. Its log has a row for step 0, for every spec.log_every steps and for
        every one of capture_steps.

    Raises:
        TrainingDivergedError: a loss or gradient since the last checkpoint was not finite; at the latest
            instead of the next checkpoint, and after at most 25 steps. No state is ever saved after it.
        UnusableStateError: the state is of another model, or a hook cannot continue from it.
        InvalidSpecError: a phase does not fit the model, or it cannot be adapted; before anything is trained.
        ValueError: the steps to capture do not rise from 0 to at most spec.steps, or end before the state.
    """
    _require_rising(capture_steps, limit=spec.steps)
    hook = HookList(hooks)
    trainer = Trainer(backbone, data, spec=spec, accelerator=accelerator, on_step=hook.on_step)
    first = _begin(trainer, hook, resume_from, last=capture_steps[-1])
    candidates = {step: index for index, step in enumerate(capture_steps)}
    for step in range(first, capture_steps[-1] + 1):
        if hook.ended:
            return
        trainer.advance(step, logged=step in candidates or step % spec.log_every == 0)
        hook.on_step(step)
        index = None
        if step in candidates:
            trainer.expose()
            index = hook.select(step, candidates[step])
        if index is not None:
            checkpoint = trainer.checkpoint(index)
            yield checkpoint
            hook.on_checkpoint(checkpoint)
        elif step % _FETCH_EVERY == 0 or (trainer.is_alone and hook.wants_pause()):
            trainer.log.fetch()
        else:
            continue
        if trainer.is_main:
            hook.on_pause(trainer.state(hook))


def _begin(trainer: Trainer, hook: TrainingHook, state: StoredState | None, *, last: int) -> int:
    """Go before the first step, or back to a state; returns the next step."""
    if state is None:
        trainer.begin()
        return 0
    if state.step > last:
        raise ValueError(f"the state to resume from is of step {state.step}, after the last one to capture, {last}")
    trainer.resume(state)
    hook.restore(state.folder)
    return state.step + 1


def _require_rising(steps: Sequence[int], *, limit: int) -> None:
    rising = all(before < after for before, after in pairwise(steps))
    if not steps or steps[0] != 0 or steps[-1] > limit or not rising:
        raise ValueError(f"steps to capture must rise from 0 to at most {limit}, they are {list(steps)}")
