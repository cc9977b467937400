"""The random numbers of a training: each use has a seed of its own, and no generator keeps a state between uses.

The random numbers of a step, or of a pass over the data, follow from the run's seed and the number of the step or pass
alone. So a saved state needs no random state, and a resumed training replays nothing.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(use: str, *numbers: int) -> int:
    """Derive a seed: the 64-bit BLAKE2b hash of a purpose and numbers.

    torch's CPU generator uses the low 32 bits of a seed, torch's CUDA generator all 64 bits.

    Args:
        use: purpose of the random numbers, such as "augment".
        *numbers: the run's seed, the step and other numbers that distinguish uses of the same purpose.

    Returns:
        The seed, 0 to 2**64 - 1.
    """
    return int.from_bytes(hashlib.blake2b(repr((use, *numbers)).encode(), digest_size=8).digest(), "little")


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators of the CPU and of the device inside `with`, and restore their states afterwards.

    Args:
        seed: 0 to 2**64 - 1.
        device: the device of the model.
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
