"""Training's own randomness: no state that goes on, but a seed of its own for every use.

What is drawn at a step, or for a pass over the data, follows from the run's seed and the number of that step or pass
alone. So nothing has to be stored for a training to go on in the middle, nor replayed.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(use: str, *numbers: int) -> int:
    """A seed of 64 bits: the BLAKE2b hash of what it is for and of the numbers that tell one use from another.

    Torch's CPU generator reads the low 32 bits of a seed, the one on CUDA all of them.
    """
    return int.from_bytes(hashlib.blake2b(repr((use, *numbers)).encode(), digest_size=8).digest(), "little")


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global random state, on the CPU and on the device, starts from the seed inside `with`.

    The state outside is given back untouched.
    """
    generators = [torch.default_generator] + ([_cuda_generator(device)] if device.type == "cuda" else [])
    outside = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, outside, strict=True):
            generator.set_state(state)


def _cuda_generator(device: torch.device) -> torch.Generator:
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]
