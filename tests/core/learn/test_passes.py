import pytest
import torch

from core.learn.passes import ShuffledPasses


def passes(n_images: int = 10, *, size: int = 4, seed: int = 0) -> ShuffledPasses:
    return ShuffledPasses(n_images, size=size, seed=seed, device=torch.device("cpu"))


@pytest.mark.parametrize(("n_images", "size", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 4, [3]), (1, 1, [1])])
def test_rows__of_a_pass_are_each_image_once(n_images: int, size: int, sizes: list[int]) -> None:
    given = passes(n_images, size=size)
    for number in range(3):
        rows = [given.rows(number * len(sizes) + place) for place in range(1, len(sizes) + 1)]
        assert [len(one) for one in rows] == sizes
        assert sorted(torch.cat(rows).tolist()) == list(range(n_images))


def test_rows__follow_from_the_step_alone() -> None:
    in_order = passes(100)
    expected = {step: in_order.rows(step) for step in range(1, 200)}
    jumping = passes(100)
    for step in (199, 1, 100, 26, 25, 51, 50):
        assert torch.equal(jumping.rows(step), expected[step])
        assert torch.equal(passes(100).rows(step), expected[step])


def test_rows__of_other_passes_and_seeds_differ() -> None:
    orders = [passes(100, size=100, seed=seed).rows(number) for seed in (0, 1) for number in (1, 2)]
    assert len({tuple(order.tolist()) for order in orders}) == 4


def test_epoch__counts_processed_images() -> None:
    assert [passes().epoch(step) for step in range(7)] == [0, 0.4, 0.8, 1, 1.4, 1.8, 2]
