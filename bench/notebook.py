"""The published method of making the film, written from its description for current libraries.

For each checkpoint, cleanlab's out-of-distribution scores give the eight images with the lowest scores. `PCA(2)`
projects the embeddings, scipy's `procrustes` aligns the points to the frame before, and the points are divided by the
largest coordinate. A new matplotlib figure of 8 by 8 inches at 200 dpi shows the points, the eight images and the loss
curve. imageio encodes the GIF.

References:
    Renumics: How to create an animation of the embeddings during fine-tuning.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import matplotlib as mpl
import numpy as np
import scipy.spatial
from cleanlab.outlier import OutOfDistribution
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from sklearn.decomposition import PCA

INCHES = 8
DPI = 200
SHOWN = 8


def scores(embeddings: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
    """Return cleanlab's out-of-distribution scores.

    Args:
        embeddings: (N, D) float32.

    Returns:
        (N,), 0 to 1. Lower = more outlying.
    """
    found: NDArray[np.floating[Any]] = OutOfDistribution().fit_score(features=embeddings, verbose=False)
    return found


def project(embeddings: NDArray[np.float32], reference: NDArray[np.floating] | None) -> NDArray[np.float64]:
    """Project a frame to its first two principal components, and align the points to a reference.

    Args:
        embeddings: (N, D) float32.
        reference: (N, 2) points of another frame; None skips the alignment.

    Returns:
        (N, 2) float64. The largest absolute coordinate is 1.
    """
    points = PCA(n_components=2).fit_transform(embeddings)
    if reference is not None:
        _, points, _ = scipy.spatial.procrustes(reference, points)
    scaled: NDArray[np.float64] = points / np.abs(points).max()
    return scaled


def draw(
    points: NDArray[np.floating],
    labels: NDArray[np.int64],
    outliers: NDArray[np.int64],
    images: NDArray[np.uint8],
    losses: tuple[NDArray[np.int64], NDArray[np.float32]],
) -> NDArray[np.uint8]:
    """Draw one frame in a new figure.

    Args:
        points: (N, 2), coordinates from -1 to 1.
        labels: (N,) classes.
        outliers: numbers of the images in the list; the first SHOWN of them are drawn.
        images: (N, S, S, 3) uint8.
        losses: (L,) steps, and (L,) losses.

    Returns:
        (1600, 1600, 3) uint8 RGB.
    """
    mpl.use("Agg")
    figure = plt.figure(figsize=(INCHES, INCHES), dpi=DPI)
    grid = figure.add_gridspec(4, 8)
    plane = figure.add_subplot(grid[:3, :7])
    plane.scatter(points[:, 0], points[:, 1], c=labels, cmap="tab10", s=2)
    plane.set_xlim(-1, 1)
    plane.set_ylim(-1, 1)
    for place, image in enumerate(outliers[:SHOWN]):
        axes = figure.add_axes((0.86, 0.9 - 0.08 * (place + 1), 0.07, 0.07))
        axes.imshow(images[image])
        axes.axis("off")
        plane.annotate(str(place + 1), points[image])
    curve = figure.add_subplot(grid[3, :])
    curve.plot(*losses)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(figure)
    return pixels


def encode(path: Path, frames: Sequence[NDArray[np.uint8]], *, fps: int) -> None:
    """Write frames as a GIF.

    Args:
        path: the file.
        frames: (H, W, 3) RGB frames, which are all in memory at once.
        fps: frames per second.
    """
    imageio.mimsave(path, list(frames), duration=1000 / fps, loop=0)
