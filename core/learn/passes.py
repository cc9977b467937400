"""The images of each step: shuffled passes over all training images, each pass in a new order."""

import torch
from torch import Tensor

from core.learn.randomness import derived_seed


class ShuffledPasses:
    """Computes the rows of any step from the seed and the step alone; the result is the same in every process.

    A step takes `size` rows. The last step of a pass takes the remaining rows.
    """

    def __init__(self, n_images: int, *, size: int, seed: int, device: torch.device) -> None:
        self._n_images, self._size, self._seed, self._device = n_images, size, seed, device
        self._steps = -(-n_images // size)  # steps per pass
        self._begin(0)

    def rows(self, step: int) -> Tensor:
        """Compute the rows of the images of a step.

        Args:
            step: number of the step, 1 or later.

        Returns:
            (R,) int64 rows on the device, R <= size.
        """
        number, place = divmod(step - 1, self._steps)
        if number != self._number:
            self._begin(number)
        return self._order[place * self._size : (place + 1) * self._size]

    def epoch(self, step: int) -> float:
        """Compute the passes over the training images that are done after a step.

        Args:
            step: optimiser steps done.

        Returns:
            Number of passes, with the fraction of the current pass.
        """
        number, place = divmod(step, self._steps)
        return number + place * self._size / self._n_images

    def _begin(self, number: int) -> None:
        shuffling = torch.Generator().manual_seed(derived_seed("order", self._seed, number))
        self._order = torch.randperm(self._n_images, generator=shuffling).to(self._device)
        self._number = number
