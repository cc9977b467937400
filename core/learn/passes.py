"""Which images each step of a training takes: pass after pass over all of them, each in an order of its own."""

import torch
from torch import Tensor

from core.learn.randomness import derived_seed


class ShuffledPasses:
    """The rows of any step, from its number alone; the same in every process.

    A step takes `size` rows; the last one of a pass takes what is left of it.
    """

    def __init__(self, n_images: int, *, size: int, seed: int, device: torch.device) -> None:
        self._n_images, self._size, self._seed, self._device = n_images, size, seed, device
        self._steps = -(-n_images // size)  # of a pass
        self._begin(0)

    def rows(self, step: int) -> Tensor:
        """Rows of the images that update `step` takes, 1 or later; (size,) or fewer, int64, on the device."""
        number, place = divmod(step - 1, self._steps)
        if number != self._number:
            self._begin(number)
        return self._order[place * self._size : (place + 1) * self._size]

    def epoch(self, step: int) -> float:
        """Passes done after `step` updates."""
        number, place = divmod(step, self._steps)
        return number + place * self._size / self._n_images

    def _begin(self, number: int) -> None:
        shuffling = torch.Generator().manual_seed(derived_seed("order", self._seed, number))
        self._order = torch.randperm(self._n_images, generator=shuffling).to(self._device)
        self._number = number
