"""Torch's random state, one for training and one for everybody else."""

from types import TracebackType
from typing import Self

import torch
from torch import Tensor


class OwnRandomness:
    """A random state that is torch's global one inside `with`, and is set aside outside.

    Each entry goes on where the last one ended; the state outside is given back untouched.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._devices = [torch.device("cpu")] + ([device] if device.type == "cuda" else [])
        self._own = [torch.Generator(device).manual_seed(seed).get_state() for device in self._devices]
        self._outside: list[Tensor] = []

    def __enter__(self) -> Self:
        self._outside = self._exchange(self._own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._own = self._exchange(self._outside)

    def _exchange(self, states: list[Tensor]) -> list[Tensor]:
        generators = [_generator(device) for device in self._devices]
        before = [generator.get_state() for generator in generators]
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        return before


def _generator(device: torch.device) -> torch.Generator:
    if device.type == "cpu":
        return torch.default_generator
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]
