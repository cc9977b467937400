"""Probe images whose labels look wrong, by confident learning.

The probe set is of the evaluation split, which is never trained on: what the model says of it is out of sample, as
confident learning needs it.

References:
    Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels. JAIR 70 (2021).
"""

import importlib
import warnings
from collections.abc import Callable

import numpy as np

from core.domain.arrays import Embedded, FloatArray, ImageArray, IntArray, ProbeSet
from core.domain.label_issues import MOST_LISTED, LabelIssue, LabelIssues
from core.domain.quality import json_number


def find(frame: Embedded, probe: ProbeSet, *, thumbnail: Callable[[ImageArray], str]) -> LabelIssues:
    """The label issues of a probe set, the least likely label first.

    Args:
        frame: the last checkpoint; one without probabilities tells of none.
        probe: N images.
        thumbnail: draws an (S, S, 3) uint8 image that is listed.
    """
    if frame.probabilities is None:
        return LabelIssues(count=0, issues=())
    found, classes = suspicious(probe.labels, frame.probabilities), np.unique(probe.labels)
    return LabelIssues(
        count=len(found),
        issues=tuple(
            _told(image, frame.probabilities[image], probe, classes=classes, thumbnail=thumbnail(probe.images[image]))
            for image in found[:MOST_LISTED].tolist()
        ),
    )


def suspicious(labels: IntArray, probabilities: FloatArray) -> IntArray:
    """Which images cleanlab's `find_label_issues` names, the least likely label first.

    Where all images have one label there is nothing to compare. A class that no image is labelled with is left out: how
    sure the model must be of it, only its own images could tell. At least one image of each class is not named.

    Args:
        labels: (N,) the given classes.
        probabilities: (N, C) of a model that has not trained on these images; not finite: nothing is named.

    Returns:
        (M,) rows.
    """
    classes, places = np.unique(labels, return_inverse=True)
    if len(classes) <= 1 or not np.isfinite(probabilities).all():
        return np.empty(0, dtype=np.int64)
    with warnings.catch_warnings():  # cleanlab turns off all of the process's, and warns of small classes
        warnings.simplefilter("ignore")
        find_label_issues = importlib.import_module("cleanlab.filter").find_label_issues  # half a second
        found = find_label_issues(
            places, probabilities[:, classes], return_indices_ranked_by="self_confidence", n_jobs=1
        )
    return np.asarray(found, dtype=np.int64)


def _told(image: int, probabilities: FloatArray, probe: ProbeSet, *, classes: IntArray, thumbnail: str) -> LabelIssue:
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
