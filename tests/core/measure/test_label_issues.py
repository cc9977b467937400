import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from core.domain.arrays import Embedded, ProbeSet
from core.measure.label_issues import find, suspicious


def sure_of(classes: NDArray[np.int64], n_classes: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Return probabilities with 0.95 for the class of each image. The rest is distributed unevenly over the other
    classes.
    """
    rng = np.random.default_rng(seed)
    probabilities = rng.random((len(classes), n_classes))
    probabilities[np.arange(len(classes)), classes] = 0
    probabilities *= 0.05 / probabilities.sum(axis=1, keepdims=True)
    probabilities[np.arange(len(classes)), classes] = 0.95
    return probabilities.astype(np.float32)


def frame(probabilities: NDArray[np.float32] | None, n_images: int = 4) -> Embedded:
    nothing = np.zeros(n_images, np.int64)
    sure = np.ones(n_images, np.float32)
    return Embedded(np.zeros((n_images, 2), np.float32), nothing, 40, 2.0, 0.5, 0.6, sure, probabilities)


@pytest.mark.parametrize(("n_classes", "swapped"), [(2, 3), (5, 12), (10, 40)])
def test_suspicious__finds_exactly_the_labels_that_were_swapped(n_classes: int, swapped: int) -> None:
    rng = np.random.default_rng(n_classes)
    true = rng.integers(0, n_classes, 400)
    probabilities = sure_of(true, n_classes)
    planted = rng.choice(400, swapped, replace=False)
    given = true.copy()
    given[planted] = (true[planted] + rng.integers(1, n_classes, swapped)) % n_classes
    found = suspicious(given, probabilities)
    assert set(found.tolist()) == set(planted.tolist())
    confidences = probabilities[found, given[found]]
    np.testing.assert_array_equal(confidences, np.sort(confidences))


def test_suspicious__by_hand() -> None:
    """The threshold of a class is the mean confidence of the images with this label: 0.62 for class 0, 0.7 for class 1.

    Image 3 is above the threshold of class 1 and has label 0; image 8 is the reverse. Image 4 is predicted as class 1,
    but its confidence of 0.6 is below the threshold.
    """
    of_one = np.array([0.1, 0.2, 0.1, 0.9, 0.6, 0.9, 0.8, 0.9, 0.2])
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
    bars = [(1 - of_one[labels == 0]).mean(), of_one[labels == 1].mean()]
    assert bars == pytest.approx([0.62, 0.7])
    found = suspicious(labels, np.stack([1 - of_one, of_one], axis=1).astype(np.float32))
    assert found.tolist() == [3, 8]  # 0.1 for the label, then 0.2


def test_suspicious__takes_arrays_that_may_not_be_written_to() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    probabilities = sure_of(np.array([0, 0, 0, 0, 1, 1, 1]), 2)
    labels.setflags(write=False)
    probabilities.setflags(write=False)
    assert suspicious(labels, probabilities).tolist() == [3]


@pytest.mark.parametrize("label", [0, 2])
def test_suspicious__one_label_only(label: int) -> None:
    assert suspicious(np.full(20, label), sure_of(np.arange(20) % 3, 3)).tolist() == []


def test_suspicious__one_class() -> None:
    assert suspicious(np.zeros(5, np.int64), np.ones((5, 1), np.float32)).tolist() == []


def test_suspicious__a_class_that_no_image_is_labelled_with() -> None:
    true = np.arange(40) % 2
    seen = true.copy()
    seen[7] = 2  # the model predicts a class that labels no image
    assert suspicious(true, sure_of(seen, 3)).tolist() == []
    given = true.copy()
    given[4] = 1
    assert suspicious(given, sure_of(seen, 3)).tolist() == [4]
    assert suspicious(true, sure_of(np.full(40, 2), 3)[:, [0, 0, 2]]).tolist() == []


def test_find__suggests_only_classes_that_images_are_labelled_with() -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(200) < 0.5, 0, 2)
    probabilities = rng.dirichlet([0.2, 0.5, 0.2], 200).astype(np.float32)
    probe = replace(probe_set(labels), class_names=("a", "b", "c"))
    found = find(frame(probabilities), probe, thumbnail=str)
    assert found.count > 20
    assert {issue.suggested_class for issue in found.issues} == {"a", "c"}
    assert all(issue.suggested_label != issue.label for issue in found.issues)


def test_suspicious__the_only_image_of_a_class_is_never_reported() -> None:
    given = np.array([0] * 10 + [1] * 10 + [2])
    seen = np.array([0] * 10 + [1] * 10 + [0])
    assert suspicious(given, sure_of(seen, 3)).tolist() == []


def test_suspicious__not_finite() -> None:
    probabilities = sure_of(np.arange(20) % 2, 2)
    probabilities[3] = np.nan
    assert suspicious(np.zeros(20, np.int64), probabilities).tolist() == []
    assert suspicious((np.arange(20) + 1) % 2, probabilities).tolist() == []


def test_suspicious__does_not_change_the_warning_filters() -> None:
    before = list(warnings.filters)
    suspicious(np.arange(20) % 2, sure_of(np.arange(20) % 2, 2))
    assert warnings.filters == before


def probe_set(labels: NDArray[np.int64]) -> ProbeSet:
    images = np.broadcast_to(np.arange(len(labels)) % 256, (8, 8, 3, len(labels))).transpose(3, 0, 1, 2)
    return ProbeSet(images.astype(np.uint8), labels, np.arange(len(labels)) * 10, ("cat", "dog"))


def test_find() -> None:
    true = np.arange(40) % 2
    given = true.copy()
    given[6] = 1
    probabilities = sure_of(true, 2)
    probabilities[6] = (0.96875, 0.03125)
    found = find(frame(probabilities), probe_set(given), thumbnail=lambda image: f"all {image[0, 0, 0]}")
    assert found.model_dump() == {
        "count": 1,
        "issues": (
            {
                "image": 6,
                "row": 60,
                "label": 1,
                "class_name": "dog",
                "suggested_label": 0,
                "suggested_class": "cat",
                "confidence": 0.03125,
                "suggested_confidence": 0.96875,
                "thumbnail": "all 6",
            },
        ),
    }


def test_find__lists_two_hundred_of_many() -> None:
    true = np.arange(2000) % 2
    given = true.copy()
    given[:300] = 1 - true[:300]
    found = find(frame(sure_of(true, 2)), probe_set(given), thumbnail=str)
    assert (found.count, len(found.issues)) == (300, 200)
    confidences = [issue.confidence for issue in found.issues]
    assert confidences == sorted(confidences)


def test_find__in_a_frame_without_probabilities() -> None:
    found = find(frame(None), probe_set(np.arange(4) % 2), thumbnail=str)
    assert (found.count, found.issues) == (0, ())
