import pytest
import torch

from core.learn.randomness import derived_seed, own_randomness

CPU = torch.device("cpu")


def test_derived_seed__never_changes_without_a_new_format() -> None:
    """Stored trainings resume with these seeds. If the values change, raise FORMATS in core.domain.plan."""
    assert derived_seed("step", 0, 0, 1) == 13220484585321150180
    assert derived_seed("order", 0, 0) == 16210311066531486343


def test_derived_seed__differs_in_the_bits_that_each_generator_reads() -> None:
    uses = [("step", seed, process, step) for seed in range(10) for process in range(4) for step in range(250)]
    uses += [("order", seed, number) for seed in range(10) for number in range(100)]
    seeds = [derived_seed(*use) for use in uses]
    assert max(seeds) < 2**64
    assert len(set(seeds)) == len(seeds)
    assert len({seed % 2**32 for seed in seeds}) > len(seeds) - 5


def test_own_randomness__starts_from_the_seed_and_gives_back_the_state_outside() -> None:
    drawn = []
    for outside in (1, 2):
        torch.manual_seed(outside)
        before = torch.get_rng_state()
        with own_randomness(7, CPU):
            drawn.append(torch.rand(5))
        assert torch.equal(torch.get_rng_state(), before)
    with own_randomness(8, CPU):
        other = torch.rand(5)
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], other)


def test_own_randomness__gives_back_the_state_after_an_error() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), own_randomness(7, CPU):
        torch.rand(-1)
    assert torch.equal(torch.get_rng_state(), before)
