"""Training as a generator of checkpoints: the consumer decides what happens at each checkpoint.

    for checkpoint in fine_tune(backbone, images, spec=spec, capture_steps=(0, 10, 20)):
        ...  # the live model; call eval() before a forward pass, fine_tune restores training mode

`core.learn.trainer` makes the updates. Everything else is a hook (`core.learn.hooks`): progress, adaptive capture,
early stopping, saved states.

A training can continue from any saved state, and ends with the same weights and log:

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

# Steps between two fetches of losses. Losses stay on the device until a checkpoint or the next multiple of this number,
# so the host rarely waits for the device, and a diverged run still ends within 25 steps. Fetches are at multiples, so
# that the processes sum the same losses after a resumption. Chosen by hand; not measured.
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
    """Train the model, phase by phase, and yield a checkpoint at each captured step.

    On a CPU, the same arguments and number of threads give the same weights and log, bit by bit. This also holds for a
    resumed training.

    Args:
        backbone: the model; its weights are changed in place.
        data: (M, S, S, 3) uint8 images at the model's input size, and (M,) labels.
        spec: phases, batch size, precision, seed and the other choices of the training.
        capture_steps: rising steps from 0 (before any update) to at most spec.steps. Training ends with the last
            of these steps. Every step is captured unless a hook leaves it out.
        hooks: called at the moments that `TrainingHook` describes.
        resume_from: the saved state to continue from; None means from the beginning. The model gets the weights of
            the state, and the hooks are restored from the state. Only later checkpoints are yielded: none, if the
            state is of the last step. All processes must get the same state. All other arguments that affect
            learning must be the same as when the state was saved.
        accelerator: device and processes; None means the default of accelerate. The accelerator's own mixed
            precision must be off, because spec.precision sets the precision. Every process must iterate. The
            checkpoints of the main process are the ones to store.

    Yields:
        One checkpoint per captured step. The log has a row for step 0, for every multiple of spec.log_every, and for
        every step of capture_steps.

    Raises:
        TrainingDivergedError: a loss or gradient norm since the last checkpoint was not finite. Raised before the
            next checkpoint is yielded, and at most 25 steps after the step. No state is saved after that step.
        UnusableStateError: the state is of another model, or a hook cannot continue from the state.
        InvalidSpecError: a phase does not fit the model, or LoRA cannot adapt the model. Raised before the first step.
        ValueError: capture_steps do not rise from 0 to at most spec.steps, or end before the step of the state.
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
    """Begin the training, or restore the trainer and the hooks from a saved state; returns the next step."""
    if state is None:
        trainer.begin()
        return 0
    if state.step > last:
        raise ValueError(f"the state to resume from is of step {state.step}, after the last step to capture, {last}")
    trainer.resume(state)
    hook.restore(state.folder)
    return state.step + 1


def _require_rising(steps: Sequence[int], *, limit: int) -> None:
    rising = all(before < after for before, after in pairwise(steps))
    if not steps or steps[0] != 0 or steps[-1] > limit or not rising:
        raise ValueError(f"the steps to capture must rise from 0 to at most {limit}, but are {list(steps)}")
