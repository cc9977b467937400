import numpy as np
import pytest

from core.domain.arrays import Embedded
from core.measure.evaluation import calibration, evaluate


def frame(predictions: list[int], confidences: list[float]) -> Embedded:
    found = np.array(predictions)
    sure = np.array(confidences, dtype=np.float32)
    return Embedded(np.zeros((len(found), 2), np.float32), found, 40, 2.0, 0.5, 0.6, confidences=sure)


def test_evaluate__hand_case() -> None:
    """One of three cats is predicted as a dog. There is no fox. Two of five predictions have confidence 0.6, and one of
    these two is right.
    """
    found = evaluate(
        "head",
        frame([0, 0, 1, 1, 0], [0.6, 1.0, 0.6, 1.0, 1.0]),
        np.array([0, 0, 0, 1, 1]),
        class_names=("cat", "dog", "fox"),
    )
    assert (found.phase, found.step, found.loss, found.accuracy) == ("head", 40, 0.5, 0.6)
    assert found.confusion == ((2, 1, 0), (1, 1, 0), (0, 0, 0))
    assert [(one.name, one.images, one.accuracy) for one in found.classes] == [
        ("cat", 3, 0.666667),
        ("dog", 2, 0.5),
        ("fox", 0, None),
    ]
    assert [(one.images, one.confidence, one.accuracy) for one in found.calibration] == [
        (2, 0.6, 0.5),
        (3, 1.0, 0.666667),
    ]
    assert found.calibration_error == pytest.approx((2 * 0.1 + 3 * (1 - 2 / 3)) / 5, rel=1e-5)


def test_calibration__against_a_loop_over_intervals() -> None:
    rng = np.random.default_rng(0)
    sure, right = rng.random(500).astype(np.float32), rng.random(500) < 0.5
    expected = []
    for low in range(15):
        inside = [row for row in range(500) if low / 15 < sure[row] <= (low + 1) / 15]
        if inside:
            expected.append((len(inside), sure[inside].mean(), right[inside].mean()))
    found = [(one.images, one.confidence, one.accuracy) for one in calibration(sure, right)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_calibration__edges() -> None:
    found = calibration(np.array([0.0, 1.0], np.float32), np.array([True, True]))
    assert [(one.images, one.confidence) for one in found] == [(1, 0.0), (1, 1.0)]
