"""Probe images that the model has probably trained on: nearly the same as a training image.

Images are first compared by their difference hash, 64 bits that say where brightness rises to the right, and those
that are alike by their pixels. Scaling, compression and small changes of brightness keep most of the bits.

References:
    Krawetz: Kind of Like That. The Hacker Factor Blog, 2013.
"""

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, ImageArray, IntArray, ProbeSet
from core.domain.label_issues import MOST_LISTED, TrainTestDuplicate, TrainTestDuplicates
from core.domain.quality import json_number

MOST_BITS = 2
"""Bits in which the hashes of near-duplicates differ."""

MOST_DIFFERENCE = 4.0
"""Mean absolute difference of near-duplicates, below this, of 255."""

CANDIDATES = 16
"""Training images whose pixels are compared with a probe image's: those of the nearest hashes."""

RISE = 0.5
"""Brightness that rises by less, of 255, stands still: flat areas do not hash their noise."""

GRID = 8
PORTION_BYTES = 4 << 20
"""Images as float32 that are hashed at once: more would not stay in a core's cache."""


def find(training: ImageArray, training_rows: IntArray, probe: ProbeSet) -> TrainTestDuplicates:
    """Each probe image that has a near-duplicate among the training images, with the one most alike.

    Args:
        training: (M, S, S, 3) uint8.
        training_rows: (M,) row of each in its split.
        probe: N images of the same size.
    """
    hashes = difference_hashes(training)
    found = []
    for image, hash_ in enumerate(difference_hashes(probe.images)):
        near = _near(hash_, hashes)
        differences = _differences(probe.images[image], training[near])
        if differences.min(initial=MOST_DIFFERENCE) < MOST_DIFFERENCE:
            closest = int(differences.argmin())
            found.append((float(differences[closest]), image, int(training_rows[near[closest]])))
    leaks = (
        TrainTestDuplicate(
            image=image, row=int(probe.rows[image]), training_row=row, difference=json_number(difference)
        )
        for difference, image, row in sorted(found)[:MOST_LISTED]
    )
    return TrainTestDuplicates(count=len(found), leaks=tuple(leaks))


def difference_hashes(images: ImageArray) -> NDArray[np.uint64]:
    """(N,) one hash an image of (N, S, S, 3): its bits say where a cell of the grid is brighter than the one before.

    The grid has 8 rows of 9 cells of equal area, whatever S is.
    """
    side = images.shape[1]
    rows, columns = _cells(side, GRID), np.repeat(_cells(side, GRID + 1) / 3, 3, axis=1)
    size = max(1, PORTION_BYTES // (side * side * 3 * 4))
    hashes = np.empty(len(images), dtype=np.uint64)
    for start in range(0, len(images), size):
        lines = images[start : start + size].reshape(-1, side * 3).astype(np.float32)
        grid = rows @ (lines @ columns.T).reshape(-1, side, GRID + 1)
        rises = np.diff(grid, axis=2) > RISE
        hashes[start : start + size] = np.packbits(rises.reshape(len(grid), -1), axis=1).view(np.uint64)[:, 0]
    return hashes


def _cells(side: int, count: int) -> FloatArray:
    """(count, side) float32: which share of each cell each pixel is, for cells of equal width."""
    edges, pixels = np.linspace(0, side, count + 1)[:, None], np.arange(side)
    shared = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (shared.clip(min=0) * (count / side)).astype(np.float32)


def _near(hash_: np.uint64, hashes: NDArray[np.uint64]) -> IntArray:
    """(K,) which hashes are near this one, the nearest first, at most CANDIDATES."""
    bits = np.bitwise_count(hashes ^ hash_)
    near = np.flatnonzero(bits <= MOST_BITS)
    return near[np.argsort(bits[near], kind="stable")][:CANDIDATES]


def _differences(image: ImageArray, others: ImageArray) -> NDArray[np.float64]:
    """(K,) mean absolute difference of an image (S, S, 3) and each of K others."""
    mean: NDArray[np.float64] = np.abs(others.astype(np.int16) - image).mean(axis=(1, 2, 3), dtype=np.float64)
    return mean
