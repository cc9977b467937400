"""Assign images to the training and the evaluation split, and pick stratified subsets.

All random choices depend only on the labels, the size or fraction, and the seed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.domain.arrays import IntArray
from core.errors import InvalidDatasetError

SPLIT_SEED = 0
EVALUATION_SHARE = 0.2
"""Fraction of each class that is held out for evaluation if the dataset defines no splits.

Chosen by hand; not measured.
"""

MIN_EVALUATION = 3
"""Minimum number of evaluation images. Fewer points span fewer than two dimensions."""

FileRole = Literal["train", "validation", "test"]

_ROLE = re.compile(
    r"(?:^|[^a-z])(?:(?P<train>train(?:ing)?)|(?P<test>test(?:ing)?)|(?P<validation>val(?:id(?:ation)?)?|eval(?:uation)?|dev))"
    r"(?:set|data|split)?(?:[^a-z]|$)"
)


@dataclass(frozen=True, slots=True)
class FileSplits:
    """The split of each file, as indices into a list of files.

    Attributes:
        train: files of the training split. If `evaluation` is empty, all files, and the caller splits their rows.
        evaluation: files of the evaluation split.
        unused: files of neither split: test files, if there are validation files.
    """

    train: tuple[int, ...]
    evaluation: tuple[int, ...] = ()
    unused: tuple[int, ...] = ()

    @property
    def used(self) -> tuple[int, ...]:
        """The files of the training split, then the files of the evaluation split."""
        return (*self.train, *self.evaluation)

    @property
    def evaluates(self) -> list[bool] | None:
        """For each file of `used`, True if it belongs to the evaluation split. None: the caller splits the rows."""
        return [index in self.evaluation for index in self.used] if self.evaluation else None


def role_of(name: str) -> FileRole | None:
    """Return the split that a name states, by the first word such as train, val or test in the name.

    >>> role_of("train-00000-of-00002.parquet"), role_of("cifar10_test.parquet"), role_of("contest.parquet")
    ('train', 'test', None)

    Args:
        name: name of a file, a folder or a split, in any case.

    Returns:
        The split; None if the name contains no such word.
    """
    match = _ROLE.search(name.lower())
    if match is None:
        return None
    return "train" if match["train"] else "test" if match["test"] else "validation"


def by_file_name(names: Sequence[str]) -> FileSplits:
    """Assign files to splits by their names.

    The evaluation split is the validation files if there are any, else the test files. If the names do not state both a
    training and an evaluation split, the result leaves all files to a split by row.

    Args:
        names: names of the files.

    Returns:
        Indices into `names`.

    Raises:
        InvalidDatasetError: some names state a split and others do not.
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
    """Split rows at random, stratified by class.

    Args:
        labels: (M,) int64, class of each row.
        share: fraction of the rows for the evaluation split, in 0..1.
        seed: seed of the random choice.

    Returns:
        The training rows and the evaluation rows, each int64 and ascending. They are disjoint and together contain all
        M rows. A class with at least two images has an image in both splits. The only image of a class is a training
        image.
    """
    _, counts = np.unique(labels, return_counts=True)
    sizes = _largest_remainder(counts, round(len(labels) * share))
    evaluation = _pick(labels, counts, np.clip(sizes, np.minimum(1, counts - 1), counts - 1), seed=seed)
    return np.setdiff1d(np.arange(len(labels)), evaluation, assume_unique=True), evaluation


def stratified(labels: IntArray, size: int, *, seed: int) -> IntArray:
    """Pick rows at random so that each class keeps its fraction, by the largest-remainder method.

    Args:
        labels: (M,) int64, class of each row.
        size: number of rows to pick, in 0..M.
        seed: seed of the random choice within each class.

    Returns:
        (size,) int64 rows, ascending. A class with m of the M rows has m * size / M of the picked rows, rounded down or
        up.

    Raises:
        ValueError: size is not in 0..M.
    """
    if not 0 <= size <= len(labels):
        raise ValueError(f"size is {size}, but there are {len(labels)} rows")
    _, counts = np.unique(labels, return_counts=True)
    return _pick(labels, counts, _largest_remainder(counts, size), seed=seed)


def _largest_remainder(counts: IntArray, size: int) -> IntArray:
    total = int(counts.sum())
    if total == 0:
        return counts
    sizes, remainders = np.divmod(counts * size, total)
    largest = np.argsort(-remainders, kind="stable")[: size - int(sizes.sum())]
    sizes[largest] += 1
    return sizes


def _pick(labels: IntArray, counts: IntArray, sizes: IntArray, *, seed: int) -> IntArray:
    """Shuffle all rows once, and pick the first rows of each class.

    Args:
        labels: (M,) int64, class of each row.
        counts: (C,) int64, number of rows of each class that occurs, in ascending order of the classes.
        sizes: (C,) int64, number of rows to pick from each class.
        seed: seed of the shuffle.

    Returns:
        (sum(sizes),) int64 rows, ascending.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_class[rank < np.repeat(sizes, counts)]).astype(np.int64)
