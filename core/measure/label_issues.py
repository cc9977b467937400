"""Probe images whose labels are probably wrong, by confident learning.

Confident learning requires out-of-sample probabilities. The probe set comes from the evaluation split, and the model
never trains on that split.

References:
    Northcutt, Jiang, Chuang: Confident learning: estimating uncertainty in dataset labels. arXiv:1911.00068.
"""

import importlib
import warnings
from collections.abc import Callable

import numpy as np

from core.domain.arrays import Embedded, FloatArray, ImageArray, IntArray, ProbeSet
from core.domain.label_issues import MOST_LISTED, LabelIssue, LabelIssues
from core.domain.quality import json_number


def find(frame: Embedded, probe: ProbeSet, *, thumbnail: Callable[[ImageArray], str]) -> LabelIssues:
    """Find the label issues of a probe set.

    Args:
        frame: the last checkpoint. Without probabilities there are no issues.
        probe: N images.
        thumbnail: returns the thumbnail of an image (S, S, 3) uint8 as text. It is called for listed images only.

    Returns:
        The number of issues, and at most MOST_LISTED of them, the least probable label first.
    """
    if frame.probabilities is None:
        return LabelIssues(count=0, issues=())
    found, classes = suspicious(probe.labels, frame.probabilities), np.unique(probe.labels)
    return LabelIssues(
        count=len(found),
        issues=tuple(
            _issue(image, frame.probabilities[image], probe, classes=classes, thumbnail=thumbnail(probe.images[image]))
            for image in found[:MOST_LISTED].tolist()
        ),
    )


def suspicious(labels: IntArray, probabilities: FloatArray) -> IntArray:
    """Images that cleanlab's `find_label_issues` reports.

    A class that labels no image is left out, because its confidence threshold is the mean over its own images. At least
    one image of each class is never reported. If all images have one label, no image is reported.

    Args:
        labels: (N,) int64, given classes.
        probabilities: (N, C) float32, from a model that has not trained on these images. If a value is NaN or infinite,
            no image is reported.

    Returns:
        (M,) int64, rows of the images, the least probable label first.
    """
    classes, places = np.unique(labels, return_inverse=True)
    if len(classes) <= 1 or not np.isfinite(probabilities).all():
        return np.empty(0, dtype=np.int64)
    with warnings.catch_warnings():  # cleanlab changes the warning filters of the process and warns about small classes
        warnings.simplefilter("ignore")
        find_label_issues = importlib.import_module("cleanlab.filter").find_label_issues  # takes half a second
        found = find_label_issues(
            places, probabilities[:, classes], return_indices_ranked_by="self_confidence", n_jobs=1
        )
    return np.asarray(found, dtype=np.int64)


def _issue(image: int, probabilities: FloatArray, probe: ProbeSet, *, classes: IntArray, thumbnail: str) -> LabelIssue:
    label, suggested = int(probe.labels[image]), int(classes[probabilities[classes].argmax()])
    return LabelIssue(
        image=image,
        row=int(probe.rows[image]),
        label=label,
        class_name=probe.class_names[label],
        suggested_label=suggested,
        suggested_class=probe.class_names[suggested],
        confidence=json_number(probabilities[label]),
        suggested_confidence=json_number(probabilities[suggested]),
        thumbnail=thumbnail,
    )
