"""What is known of the built-in datasets without loading them, so that the API can check a run at once."""

from collections.abc import Mapping

from core.domain.spec import DatasetFacts

DIGITS = "digits"
DIGITS_IMAGE_SIZE = 8
"""Pixels a side."""

BUILTIN: Mapping[str, DatasetFacts] = {
    DIGITS: DatasetFacts(digest="digits-v1", class_names=tuple("0123456789"), train_size=797, evaluation_size=1000),
}
"""By name. `digits`: the 1,797 handwritten digits of scikit-learn, split by class once and for all.

Raise the digest's number when the images, their order or the split change.
"""
