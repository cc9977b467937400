"""Train-test duplicates: probe images that are nearly identical to a training image.

The search has two steps. First it compares difference hashes of 64 bits. Each bit is set if brightness rises from one
grid cell to the next cell on its right. Then it compares the pixels of the images with the nearest hashes. Scaling,
compression and small changes of brightness keep most of the bits.

References:
    Krawetz: Kind of Like That. The Hacker Factor Blog, 2013.
"""

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, ImageArray, IntArray, ProbeSet
from core.domain.label_issues import MOST_LISTED, TrainTestDuplicate, TrainTestDuplicates
from core.domain.quality import json_number

MOST_BITS = 2
"""Largest number of bits by which the hashes of near-duplicates differ. Chosen by hand; not measured."""

MOST_DIFFERENCE = 4.0
"""The mean absolute pixel difference of near-duplicates is below this value, on the scale 0..255. Chosen by hand; not
measured."""

CANDIDATES = 16
"""Largest number of training images whose pixels are compared with one probe image. Chosen by hand; not measured."""

RISE = 0.5
"""A bit is set only if brightness rises by more than this, on the scale 0..255. Without the limit, the bits of flat
areas would be noise. Chosen by hand; not measured."""

GRID = 8
"""Number of rows of the grid, as in Krawetz's difference hash of 8 x 8 bits."""
PORTION_BYTES = 4 << 20
"""Size of the float32 images that are hashed at once, so that they fit into a core's cache. Chosen by hand; not
measured."""


def find(training: ImageArray, training_rows: IntArray, probe: ProbeSet) -> TrainTestDuplicates:
    """Find the probe images that have a near-duplicate among the training images.

    Args:
        training: (M, S, S, 3) uint8, training images.
        training_rows: (M,) int64, row of each training image in its split.
        probe: N images of the same size.

    Returns:
        The number of such probe images, and at most MOST_LISTED of them, the smallest difference first. Each comes with
        its most similar training image.
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
    """Difference hash of each image.

    The grid has 8 rows of 9 cells of equal area, for any S. A bit is set if the mean brightness of a cell exceeds the
    mean brightness of the cell on its left by more than RISE.

    Args:
        images: (N, S, S, 3) uint8.

    Returns:
        (N,) uint64, one hash per image.
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
    """Weight of each pixel in the mean of each cell, for cells of equal width.

    Args:
        side: number of pixels.
        count: number of cells.

    Returns:
        (count, side) float32, rows of sum 1.
    """
    edges, pixels = np.linspace(0, side, count + 1)[:, None], np.arange(side)
    shared = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (shared.clip(min=0) * (count / side)).astype(np.float32)


def _near(hash_: np.uint64, hashes: NDArray[np.uint64]) -> IntArray:
    """Find the hashes that differ from `hash_` in at most MOST_BITS bits.

    Args:
        hash_: one hash.
        hashes: (M,) uint64.

    Returns:
        (K,) int64, positions of the nearest such hashes, nearest first; K is at most CANDIDATES.
    """
    bits = np.bitwise_count(hashes ^ hash_)
    near = np.flatnonzero(bits <= MOST_BITS)
    return near[np.argsort(bits[near], kind="stable")][:CANDIDATES]


def _differences(image: ImageArray, others: ImageArray) -> NDArray[np.float64]:
    """Mean absolute pixel difference between an image and each of K other images.

    Args:
        image: (S, S, 3) uint8.
        others: (K, S, S, 3) uint8.

    Returns:
        (K,) float64, 0..255. Lower = more similar.
    """
    mean: NDArray[np.float64] = np.abs(others.astype(np.int16) - image).mean(axis=(1, 2, 3), dtype=np.float64)
    return mean
