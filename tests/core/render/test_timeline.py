import numpy as np

from core.domain.arrays import FrameFacts
from core.render.timeline import FilmTime

EMBEDDED = [
    FrameFacts(step=0, epoch=0.0, loss=2.0, accuracy=0.1, predictions=np.array([0, 1])),
    FrameFacts(step=100, epoch=4.0, loss=1.0, accuracy=0.9, predictions=np.array([1, 1])),
]


def test_facts__step_and_epoch_are_interpolated_and_measurements_are_not() -> None:
    facts = FilmTime.at(0.75, 2).facts(EMBEDDED)
    assert (facts.step, facts.epoch) == (75, 3.0)
    assert (facts.loss, facts.accuracy, facts.predictions.tolist()) == (2.0, 0.1, [0, 1])


def test_facts__at_a_checkpoint_are_its_own() -> None:
    facts = FilmTime.at(1.0, 2).facts(EMBEDDED)
    assert (facts.step, facts.epoch, facts.loss, facts.accuracy) == (100, 4.0, 1.0, 0.9)
