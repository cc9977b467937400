import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.domain.arrays import ProbeSet
from core.measure.train_test_duplicates import difference_hashes, find


def pictures(count: int, side: int = 32, *, seed: int = 0) -> NDArray[np.uint8]:
    """Return (count, side, side, 3) images of smooth colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    smooth = [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in coarse]
    return np.stack([np.asarray(one) for one in smooth])


def probe_set(images: NDArray[np.uint8]) -> ProbeSet:
    return ProbeSet(images, np.zeros(len(images), np.int64), np.arange(len(images)) * 10, ("a",))


def compressed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    written = io.BytesIO()
    Image.fromarray(image).save(written, "JPEG", quality=90, subsampling=0)
    return np.asarray(Image.open(written))


def test_difference_hashes__against_a_loop_over_cells() -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, 72, 72, 3), dtype=np.uint8)
    hashes = difference_hashes(images)
    assert (hashes.shape, hashes.dtype) == ((5,), np.uint64)
    for image, found in zip(images.astype(float), hashes, strict=True):
        cells = [[image[9 * y : 9 * y + 9, 8 * x : 8 * x + 8].mean() for x in range(9)] for y in range(8)]
        bits = [cells[y][x + 1] - cells[y][x] > 0.5 for y in range(8) for x in range(8)]
        assert np.unpackbits(np.array([found]).view(np.uint8)).tolist() == bits


@pytest.mark.parametrize("side", [1, 5, 8, 9, 100])
def test_difference_hashes__of_any_size(side: int) -> None:
    """Brightness that increases to the right sets all bits. A uniform image sets none."""
    rising = np.broadcast_to(np.linspace(0, 250, side)[None, :, None], (side, side, 3)).astype(np.uint8)
    flat = np.full((side, side, 3), 77, np.uint8)
    bits = np.bitwise_count(difference_hashes(np.stack([rising, flat, rising[:, ::-1]])))
    assert bits.tolist() == [0 if side == 1 else 64, 0, 0]


def test_difference_hashes__portions(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(7)
    whole = difference_hashes(images)
    monkeypatch.setattr("core.measure.train_test_duplicates.PORTION_BYTES", 2 * 32 * 32 * 3 * 4)
    np.testing.assert_array_equal(difference_hashes(images), whole)
    assert len(set(whole.tolist())) == 7


def test_find__exactly_those_that_were_planted() -> None:
    training, probe = pictures(500), pictures(60, seed=1)
    probe[3] = training[400]
    probe[17] = compressed(training[20])
    probe[18] = np.clip(training[30].astype(int) + 2, 0, 255)
    found = find(training, np.arange(500) * 2, probe_set(probe))
    assert found.count == 3
    assert {(leak.image, leak.row, leak.training_row) for leak in found.leaks} == {
        (3, 30, 800),
        (17, 170, 40),
        (18, 180, 60),
    }
    differences = [leak.difference for leak in found.leaks]
    assert differences == sorted(differences)
    assert differences[0] == 0
    assert differences[-1] < 4


def test_find__names_the_most_similar_training_image() -> None:
    training = np.repeat(pictures(1), 3, axis=0)
    training[0, :, :, 0] ^= 3
    training[2, :, :, 0] ^= 1
    found = find(training, np.array([5, 6, 7]), probe_set(pictures(1)))
    assert [(leak.training_row, leak.difference) for leak in found.leaks] == [(6, 0)]


def test_find__the_same_shape_in_other_colours_is_none() -> None:
    training = pictures(20)
    other = (training[:1] // 2 + 100).astype(np.uint8)
    assert np.bitwise_count(difference_hashes(other) ^ difference_hashes(training[:1])) <= 2
    assert find(training, np.arange(20), probe_set(other)).count == 0


def test_find__images_that_are_all_the_same_are_bounded() -> None:
    flat = np.zeros((3000, 8, 8, 3), np.uint8)
    found = find(flat, np.arange(3000), probe_set(flat[:250]))
    assert (found.count, len(found.leaks)) == (250, 200)
