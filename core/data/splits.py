"""Which images train and which evaluate, and how a smaller set is picked that keeps the classes' shares."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.domain.arrays import IntArray
from core.errors import InvalidDatasetError

SPLIT_SEED = 0
EVALUATION_SHARE = 0.2
"""One image in five evaluates where nothing else says which."""

MIN_EVALUATION = 3
"""Fewer points have no layout."""

FileRole = Literal["train", "validation", "test"]

_ROLE = re.compile(
    r"(?:^|[^a-z])(?:(?P<train>train(?:ing)?)|(?P<test>test(?:ing)?)|(?P<validation>val(?:id(?:ation)?)?|eval(?:uation)?|dev))"
    r"(?:set|data|split)?(?:[^a-z]|$)"
)


@dataclass(frozen=True, slots=True)
class FileSplits:
    """Indices of files. Where `evaluation` is empty, `train` is all files, to be split by row.

    Attributes:
        train: files with training images, or all used files.
        evaluation: files with evaluation images.
        unused: test files beside a validation split.
    """

    train: tuple[int, ...]
    evaluation: tuple[int, ...] = ()
    unused: tuple[int, ...] = ()

    @property
    def used(self) -> tuple[int, ...]:
        """Those that train, then those that evaluate."""
        return (*self.train, *self.evaluation)

    @property
    def evaluates(self) -> list[bool] | None:
        """For each that is used, whether it evaluates; None where they are to be split by row."""
        return [index in self.evaluation for index in self.used] if self.evaluation else None


def role_of(name: str) -> FileRole | None:
    """What a file's name says of its split, by the first such word in it; None where it says nothing.

    >>> role_of("train-00000-of-00002.parquet"), role_of("cifar10_test.parquet"), role_of("contest.parquet")
    ('train', 'test', None)
    """
    match = _ROLE.search(name.lower())
    if match is None:
        return None
    return "train" if match["train"] else "test" if match["test"] else "validation"


def by_file_name(names: Sequence[str]) -> FileSplits:
    """Splits by the files' names. Evaluation is the validation split if there is one, else the test split.

    Where the names do not give both sides, all files together are to be split by row.

    Raises:
        InvalidDatasetError: some names say what they are and others do not.
    """
    roles = [role_of(name) for name in names]
    everything = tuple(range(len(names)))
    train = tuple(index for index in everything if roles[index] == "train")
    held_out: FileRole = "validation" if "validation" in roles else "test"
    evaluation = tuple(index for index in everything if roles[index] == held_out)
    if not any(roles):
        return FileSplits(train=everything)
    if None in roles:
        silent = names[roles.index(None)]
        raise InvalidDatasetError(
            f"{silent} does not say which split it belongs to, but other files do: put train, validation or "
            "test into the name of every file, or into none."
        )
    if not train or not evaluation:
        return FileSplits(train=everything)
    return FileSplits(train, evaluation, unused=tuple(sorted(set(everything) - {*train, *evaluation})))


def by_row(labels: IntArray, *, share: float = EVALUATION_SHARE, seed: int = SPLIT_SEED) -> tuple[IntArray, IntArray]:
    """A stratified split: a fifth of each class evaluates, or another share.

    Args:
        labels: (M,) class of each row.
        share: of the rows that evaluate, 0..1.
        seed: decides which rows.

    Returns:
        Rows that train and rows that evaluate: disjoint, rising, together all. A class with two images or
        more has at least one on each side; a single image trains.
    """
    _, counts = np.unique(labels, return_counts=True)
    shares = _largest_remainder(counts, round(len(labels) * share))
    evaluation = _pick(labels, counts, np.clip(shares, np.minimum(1, counts - 1), counts - 1), seed=seed)
    return np.setdiff1d(np.arange(len(labels)), evaluation, assume_unique=True), evaluation


def stratified(labels: IntArray, size: int, *, seed: int) -> IntArray:
    """Pick rows so that each class keeps its share, by the largest remainder.

    Args:
        labels: (M,) class of each row.
        size: rows to pick, 0..M.
        seed: decides which rows of a class.

    Returns:
        (size,) rows, rising. A class with m of M rows has m * size / M of them, rounded down or up.

    Raises:
        ValueError: size is not within 0..M.
    """
    if not 0 <= size <= len(labels):
        raise ValueError(f"size is {size}, but there are {len(labels)} rows")
    _, counts = np.unique(labels, return_counts=True)
    return _pick(labels, counts, _largest_remainder(counts, size), seed=seed)


def _largest_remainder(counts: IntArray, size: int) -> IntArray:
    total = int(counts.sum())
    if total == 0:
        return counts
    shares, remainders = np.divmod(counts * size, total)
    largest = np.argsort(-remainders, kind="stable")[: size - int(shares.sum())]
    shares[largest] += 1
    return shares


def _pick(labels: IntArray, counts: IntArray, sizes: IntArray, *, seed: int) -> IntArray:
    """The first `sizes` rows of each class (in rising order) of one shuffled order."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_class[rank < np.repeat(sizes, counts)]).astype(np.int64)
