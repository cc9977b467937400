"""The published way of making the film, on today's libraries, written anew from its description.

Per checkpoint: cleanlab's out-of-distribution score, the eight lowest as a list; `PCA(2)`, scipy's `procrustes` onto
the frame shown before, division by the largest coordinate; a fresh matplotlib figure of 8 by 8 inches at 200 dpi with
the points, the list's pictures and the loss curve; imageio for the GIF.

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
    """(N,) of (N, D): cleanlab's, 0..1, low: outlying."""
    found: NDArray[np.floating[Any]] = OutOfDistribution().fit_score(features=embeddings, verbose=False)
    return found


def lay_out(embeddings: NDArray[np.float32], reference: NDArray[np.floating] | None) -> NDArray[np.float64]:
    """(N, 2): two axes of this frame's own, aligned to the reference."""
    points = PCA(n_components=2).fit_transform(embeddings)
    if reference is not None:
        _, points, _ = scipy.spatial.procrustes(reference, points)
    laid: NDArray[np.float64] = points / np.abs(points).max()
    return laid


def draw(
    points: NDArray[np.floating],
    labels: NDArray[np.int64],
    outliers: NDArray[np.int64],
    images: NDArray[np.uint8],
    losses: tuple[NDArray[np.int64], NDArray[np.float32]],
) -> NDArray[np.uint8]:
    """(1600, 1600, 3): one frame, drawn from nothing."""
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
    """Write RGB frames as a GIF; all of them are held."""
    imageio.mimsave(path, list(frames), duration=1000 / fps, loop=0)
