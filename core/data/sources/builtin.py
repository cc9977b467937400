"""Built-in datasets, which a library of the worker contains: scikit-learn's handwritten digits."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.sources.catalog import Catalog, KnownDataset, ResolvedDataset, require_digest
from core.domain.spec import DatasetFacts

if TYPE_CHECKING:
    from core.domain.arrays import ImageArray, IntArray
    from core.domain.sources import ImageSource, Split

KIND = "builtin"
FORM = "`digits`"
DESCRIPTION = "scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, with a fixed stratified split"

DIGITS = "digits"
DIGITS_IMAGE_SIZE = 8
"""Side of an image in pixels."""

BUILTIN: Mapping[str, DatasetFacts] = {
    DIGITS: DatasetFacts(digest="digits-v1", class_names=tuple("0123456789"), train_size=797, evaluation_size=1000),
}
"""Facts by name. A change of the images, their order or the split requires a new number in the digest."""


def is_named(dataset: str, *, allowed_hub: Sequence[str]) -> bool:  # noqa: ARG001 - needs no permission
    """Return True if this is the name of a built-in dataset."""
    return dataset in BUILTIN


def known_names(*, allowed_hub: Sequence[str]) -> list[str]:  # noqa: ARG001
    """Return the names of all built-in datasets."""
    return list(BUILTIN)


def canonical(dataset: str) -> str:
    """Return the name unchanged. It is already canonical."""
    return dataset


def pinned_as(dataset: str) -> str | None:  # noqa: ARG001
    """Return None: a built-in dataset has no commits."""
    return None


def every(catalog: Catalog) -> Iterable[KnownDataset]:  # noqa: ARG001
    """Return the built-in datasets."""
    return [KnownDataset(name, name, facts) for name, facts in BUILTIN.items()]


def resolve(dataset: str, catalog: Catalog) -> ResolvedDataset:  # noqa: ARG001
    """Return the facts, which are constants."""
    facts = BUILTIN[dataset]
    return ResolvedDataset(facts, facts.digest, dataset)


def open_images(dataset: str, *, folder: Path | None, expected_digest: str | None) -> "ImageSource":  # noqa: ARG001
    """Load the digits of scikit-learn and split them.

    The evaluation split is a stratified sample with the seed `splits.SPLIT_SEED`. The other rows are the training
    split.

    Args:
        dataset: a name of BUILTIN.
        folder: not used.
        expected_digest: digest with which the run was accepted. None: accept any digest.

    Raises:
        SourceUnavailableError: the digest is not `expected_digest`.
    """
    import numpy as np
    from PIL import Image

    from core.data import splits
    from core.data.images import to_square
    from core.data.sources.opened import OpenedDataset

    facts = BUILTIN[dataset]
    require_digest(dataset, facts, expected=expected_digest)
    bunch = importlib.import_module("sklearn.datasets").load_digits()
    labels = np.asarray(bunch.target, np.int64)
    evaluation = splits.stratified(labels, facts.evaluation_size, seed=splits.SPLIT_SEED)
    train = np.setdiff1d(np.arange(len(labels)), evaluation, assume_unique=True)
    rows: dict[Split, IntArray] = {"train": train, "evaluation": evaluation}

    def squares(split: "Split", chosen: "IntArray", size: int) -> "ImageArray":
        """Scale the grey values of scikit-learn, 0..16, to 0..255, and resize the images."""
        grey = np.rint(bunch.images[rows[split][chosen]] * (255 / 16)).astype(np.uint8)
        squared = [to_square(Image.fromarray(digit).convert("RGB"), size) for digit in grey]
        return np.stack(squared) if squared else np.empty((0, size, size, 3), np.uint8)

    return OpenedDataset(
        facts=facts,
        labels_of={"train": labels[train], "evaluation": labels[evaluation]},
        squares=squares,
        measure=lambda: DIGITS_IMAGE_SIZE,
    )
