import numpy as np
import pytest

from core.domain.arrays import FrameFacts
from core.measure.highlights import FilmHistory, find_highlights

T, N = 12, 30
NAMES = ("cat", "dog", "owl")
LABELS = np.arange(N) % 3


def history(*, accuracy=None, loss=None, predictions=None, distance=None, moved=None, mixing=None, steps=None):
    """Return a film in which nothing changes except the given values."""
    accuracy = np.full(T, 0.5) if accuracy is None else np.asarray(accuracy, float)
    loss = np.full(T, 1.0) if loss is None else np.asarray(loss, float)
    predictions = np.tile(LABELS, (T, 1)) if predictions is None else predictions
    distance = np.random.default_rng(0).uniform(0.09, 0.11, (T, N)).astype(np.float32) if distance is None else distance
    mixing = np.tile(np.full((3, 3), 0.05) + 0.85 * np.eye(3), (T, 1, 1)) if mixing is None else mixing
    steps = [5 * t for t in range(T)] if steps is None else steps
    facts = [FrameFacts(steps[t], t / 4, float(loss[t]), float(accuracy[t]), predictions[t]) for t in range(T)]
    return FilmHistory(
        facts, LABELS, NAMES, distance, np.ones(T - 1) if moved is None else np.asarray(moved, float), mixing
    )


def found(**changes):
    return [(one.kind, one.frame, one.caption) for one in find_highlights(history(**changes))]


def mixed(one, other, share, frames):
    """Return the fractions of neighbours: in some frames, this fraction of the neighbours of one class belongs to
    another class.
    """
    mixing = np.tile(np.full((3, 3), 0.05) + 0.85 * np.eye(3), (T, 1, 1))
    for a, b in ((one, other), (other, one)):
        mixing[frames, a, b], mixing[frames, a, a] = share, 0.95 - share
    return mixing


def test_highlights__none_in_a_film_without_changes():
    assert found() == []


def test_separations__a_class_separates():
    mixing = mixed(0, 2, 0.5, slice(0, 4))
    assert found(mixing=mixing) == [
        ("class_separates", 4, "cat separates from owl"),
        ("class_separates", 4, "owl separates from cat"),
    ]
    [first, _] = find_highlights(history(mixing=mixing))
    assert (first.step, first.classes) == (20, ("cat", "owl"))
    assert first.numbers == {"own_before": 0.45, "own": 0.9, "other_before": 0.5}


def test_separations__not_for_a_few_frames():
    mixing = mixed(0, 2, 0.5, slice(0, 4))
    mixing[-1] = mixing[0]
    assert found(mixing=mixing) == []


def test_two_classes_merge():
    assert found(mixing=mixed(1, 2, 0.45, slice(7, T))) == [("classes_merge", 7, "dog and owl merge")]


def test_separations__a_class_without_points():
    mixing = mixed(0, 2, 0.5, slice(0, 4))
    mixing[:, 0] = np.nan
    assert found(mixing=mixing) == [("class_separates", 4, "owl separates from cat")]


def test_accuracy__one_jump_over_two_frames():
    accuracy = [0.1] * 3 + [0.3, 0.6] + [0.6] * 7
    assert found(accuracy=accuracy) == [("accuracy_jumps", 4, "Accuracy rises from 10 % to 60 %")]
    falls = [0.9] * 6 + [0.2] * 6
    assert found(accuracy=falls) == [("accuracy_jumps", 6, "Accuracy falls from 90 % to 20 %")]


def test_accuracy__a_steady_rise_is_no_jump():
    assert found(accuracy=np.linspace(0, 1, T) * 1.3 - 0.3) == []


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ([2, 1, 0.5] + [0.9] * 9, [("loss_rises", 3, "The loss rises again: the model overfits")]),
        ([2, 1, 0.5] + [50] * 9, [("loss_diverges", 3, "The loss diverges")]),
        ([2, 1, 0.5, 0.6] + [np.nan] * 8, [("loss_diverges", 4, "The loss is NaN or infinite")]),
        ([2, 1, 0.5] + [0.6] * 9, []),
        (np.linspace(2, 0.1, T), []),
        ([np.nan] * T, []),
    ],
)
def test_losses(loss, expected):
    assert found(loss=loss) == expected


def test_standstill__the_representation_stops_moving():
    moved = [1.0] * 6 + [0.01] * 5
    assert found(moved=moved) == [("stands_still", 6, "The representation has almost stopped moving")]
    assert found(moved=np.zeros(T - 1)) == [("stands_still", 0, "The representation does not move")]
    assert found(moved=[1.0] * 6 + [0.01] * 4 + [0.5]) == []


def test_standstill__movement_is_measured_for_each_step():
    steps = [0, 1, 2, 3, 4, 5, 6, 106, 206, 306, 406, 506]  # equal movement between frames, but more and more steps
    assert found(steps=steps) == [("stands_still", 6, "The representation has almost stopped moving")]
    assert found(steps=steps, moved=[1.0] * 6 + [50.0] * 5) == []


def test_conversions__an_image_changes_its_class_to_the_end():
    predictions = np.tile(LABELS, (T, 1))
    predictions[:6, 4] = 2  # a dog that was predicted as an owl
    predictions[:6, 5] = [0, 1, 0, 1, 0, 1]  # its prediction was not constant before
    predictions[-1, 6] = 1  # for one frame only
    [one] = find_highlights(history(predictions=predictions))
    assert (one.kind, one.frame, one.image, one.classes) == ("prediction_changes", 6, 4, ("owl", "dog"))
    assert one.caption == "Image 4 is now predicted dog (right), not owl"
    assert one.numbers == {"frames_before": 6, "frames_after": 6}


def test_outliers__appear_and_disappear():
    distance = np.random.default_rng(0).uniform(0.09, 0.11, (T, N)).astype(np.float32)
    distance[5:, 3] = 1.2
    distance[:4, 7] = 0.9
    distance[6, 8] = 1.5  # for one frame only
    assert found(distance=distance) == [
        ("outlier_resolved", 4, "Image 7 (dog) is no longer an outlier"),
        ("outlier_appears", 5, "Image 3 (cat) becomes an outlier"),
    ]


def test_outliers__duplicates_are_none():
    assert found(distance=np.zeros((T, N), np.float32)) == []
