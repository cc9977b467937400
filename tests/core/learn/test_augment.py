import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, one_hot

from core.domain.augment import AugmentSpec
from core.domain.spec import TrainSpec
from core.learn.augment import Shown, move, recolour, shown
from core.learn.draws import Draws, colour_maps, draw, placements
from core.learn.pixels import ImagesOnDevice
from tests.core.learn.small_training import backbone, blobs

EVERYTHING = AugmentSpec(
    flip=0.5, rotate=20, shear=10, crop=0.5, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, mixup=0.4
)


def photos(n_images: int = 4, *, size: int = 12) -> Tensor:
    """Return (n, 3, size, size) integers from 0 to 255."""
    return torch.randint(0, 256, (n_images, 3, size, size), generator=torch.Generator().manual_seed(0)).float()


def smooth_photo(size: int = 64) -> Tensor:
    """Return one smooth photo, for which all interpolations agree."""
    return interpolate(photos(1, size=6), size=(size, size), mode="bicubic").clamp(0, 255)


def drawn(n_images: int = 4, **values: float | list[float]) -> Draws:
    """Return draws with only these changes."""
    nothing = draw(AugmentSpec(), n_images, seed=0, step=1)
    return replace(
        nothing, **{name: np.broadcast_to(value, getattr(nothing, name).shape) for name, value in values.items()}
    )


def moved(pixels: Tensor, draws: Draws) -> Tensor:
    return move(pixels, torch.from_numpy(placements(draws)).float())


def recoloured(pixels: Tensor, draws: Draws) -> Tensor:
    return recolour(pixels, torch.from_numpy(colour_maps(draws)).float())


def on_device(n_images: int = 10) -> ImagesOnDevice:
    return ImagesOnDevice(blobs(n_images), backbone(), device=torch.device("cpu"))


def close(one: Tensor, other: Tensor, *, atol: float = 0.01) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=atol)


@pytest.mark.parametrize("size", [8, 9, 32])
def test_move__by_nothing(size: int) -> None:
    pixels = photos(size=size)
    close(moved(pixels, drawn()), pixels)


@pytest.mark.parametrize("size", [8, 9])
def test_move__flips(size: int) -> None:
    pixels = photos(size=size)
    close(moved(pixels, drawn(flipped=[True, False, True, False])), pixels.where(_nth(1, 3), pixels.flip(3)))


def _nth(*numbers: int) -> Tensor:
    return torch.isin(torch.arange(4), torch.tensor(numbers)).view(4, 1, 1, 1)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_move__quarter_turns_counterclockwise(size: int, quarters: int) -> None:
    pixels = photos(size=size)
    close(moved(pixels, drawn(turned=quarters * math.pi / 2)), pixels.rot90(quarters, dims=(2, 3)))


@pytest.mark.parametrize("degrees", [-170, -20, 5, 33])
def test_move__turns_as_scipy_does(degrees: float) -> None:
    photo = smooth_photo()
    expected = scipy.ndimage.rotate(photo[0], degrees, axes=(2, 1), reshape=False, order=1, mode="reflect")
    close(moved(photo, drawn(1, turned=math.radians(degrees)))[0], torch.from_numpy(expected), atol=0.5)


@pytest.mark.parametrize("degrees", [-45, -10, 30])
def test_move__shears_as_scipy_does(degrees: float) -> None:
    """scipy expects the source of each pixel (channel, y, x) as an offset from the middle."""
    photo, tangent = smooth_photo(), math.tan(math.radians(degrees))
    matrix, middle = np.array([[1, 0, 0], [0, 1, 0], [0, tangent, 1]]), np.array([0, 31.5, 31.5])
    offset = middle - matrix @ middle
    expected = scipy.ndimage.affine_transform(photo[0], matrix, offset=offset, order=1, mode="reflect")
    close(moved(photo, drawn(1, leaning=tangent))[0], torch.from_numpy(expected), atol=0.5)


def test_move__a_positive_shear_leans_to_the_right() -> None:
    pixels = torch.zeros(1, 3, 33, 33)
    pixels[..., 16] = 255
    brightest = moved(pixels, drawn(1, leaning=0.5))[0, 0].argmax(dim=1)
    assert brightest[2] > 20
    assert brightest[30] < 12


@pytest.mark.parametrize("box", [(0, 0, 6, 6), (6, 0, 12, 12), (3, 2, 9, 5), (0, 0, 12, 12)])
def test_move__crops_and_enlarges_as_interpolate_does(box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    pixels = photos()
    size, centre = np.array([right - left, bottom - top]) / 12, np.array([left + right, top + bottom]) / 12 - 1
    part = pixels[:, :, top:bottom, left:right]
    expected = interpolate(part, size=(12, 12), mode="bilinear", align_corners=False)
    found = moved(pixels, drawn(size=size, centre=centre))
    # At the border of a crop our map reads the image outside the crop; `interpolate` has only the crop.
    inside = slice(2, -2)
    close(found[:, :, inside, inside], expected[:, :, inside, inside])


def test_move__first_crops_then_flips_then_turns_then_shears() -> None:
    photo = smooth_photo()
    step_by_step = photo
    steps = [
        {"size": [0.7, 0.8], "centre": [0.1, -0.2]},
        {"flipped": True},
        {"turned": math.pi / 2},
        {"leaning": 0.2},
    ]
    for step in steps:
        step_by_step = moved(step_by_step, drawn(1, **step))
    at_once = moved(photo, drawn(1, **{name: value for step in steps for name, value in step.items()}))
    # It interpolates four times instead of once; another order differs by over 100.
    close(at_once[:, :, 8:-8, 8:-8], step_by_step[:, :, 8:-8, 8:-8], atol=4)


def test_move__a_batch_is_its_images_one_by_one() -> None:
    pixels, draws = photos(), draw(EVERYTHING, 4, seed=1, step=1)
    maps = torch.from_numpy(placements(draws)).float()
    exclusive = [move(pixels[index : index + 1], maps[index : index + 1]) for index in range(4)]
    close(move(pixels, maps), torch.cat(exclusive), atol=1e-4)


def test_move__beyond_the_border_is_the_reflection() -> None:
    pixels = photos(1, size=8)
    mirrored = torch.cat([pixels.flip(3), pixels, pixels.flip(3)], dim=3)
    close(moved(pixels, drawn(1, centre=[1.0, 0.0])), mirrored[..., 12:20])


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_recolour__as_pillow_does(name: str, enhance: type, factor: float) -> None:
    pixels = photos(1)
    image = Image.fromarray(pixels[0].permute(1, 2, 0).to(torch.uint8).numpy())
    expected = torch.from_numpy(np.array(enhance(image).enhance(factor))).permute(2, 0, 1).float()
    # Pillow rounds greys and results to integers.
    close(recoloured(pixels, drawn(1, **{name: factor}))[0], expected, atol=1.6)


def test_recolour__by_nothing() -> None:
    close(recoloured(photos(), drawn()), photos())


def test_recolour__in_order_and_clipped_at_the_end_only() -> None:
    pixels = photos() / 2 + 60
    steps = {"brightness": 1.1, "contrast": 0.8, "saturation": 0.7, "hue": 0.05}
    step_by_step = pixels
    for name, value in steps.items():
        step_by_step = recoloured(step_by_step, drawn(**{name: value}))
    close(recoloured(pixels, drawn(**steps)), step_by_step)
    too_bright_on_the_way = recoloured(pixels, drawn(brightness=1.8, contrast=0.5, saturation=0.0))
    luma = (pixels * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=1, keepdim=True)
    expected = 0.9 * (luma + luma.mean(dim=(2, 3), keepdim=True))
    close(too_bright_on_the_way, expected.clamp(0, 255).expand(-1, 3, -1, -1))


def test_recolour__keeps_the_luma_when_hues_turn() -> None:
    pixels = photos() / 5 + 100
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    turned = recoloured(pixels, drawn(hue=[0.1, -0.2, 0.3, 0.5]))
    close((turned * luma).sum(dim=1), (pixels * luma).sum(dim=1))
    assert ((turned - pixels).abs().amax(dim=(1, 2, 3)) > 5).all()


def test_shown__without_augmentation_is_the_plain_input() -> None:
    images, rows = on_device(), torch.tensor([7, 2, 5])
    given = shown(images, rows, spec=TrainSpec(), step=3)
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    places = torch.tensor([2, 0])
    assert torch.equal(given.pixel_values(places), images.pixel_values(torch.tensor([5, 7])))
    expected = cross_entropy(logits[:2], images.labels[[5, 7]], reduction="none")
    assert torch.equal(given.losses(logits[:2], places), expected)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_shown__does_not_depend_on_how_a_step_is_split(mixup: float) -> None:
    images, rows = on_device(), torch.tensor([7, 2, 5, 0, 9, 3])
    spec = TrainSpec(augment=EVERYTHING.model_copy(update={"mixup": mixup}))
    given = shown(images, rows, spec=spec, step=3)
    whole = given.pixel_values(torch.arange(6))
    assert (whole - images.pixel_values(rows)).abs().amax(dim=(1, 2, 3)).min() > 0.05
    for part in ([0, 1, 2], [3, 4], [5]):
        close(given.pixel_values(torch.tensor(part)), whole[part], atol=1e-5)


def test_shown__other_steps_and_seeds_are_other_changes() -> None:
    images, rows, places = on_device(), torch.arange(4), torch.arange(4)
    given = [
        shown(images, rows, spec=TrainSpec(augment=EVERYTHING, seed=seed), step=step).pixel_values(places)
        for seed, step in ((0, 1), (0, 2), (1, 1), (0, 1))
    ]
    assert torch.equal(given[0], given[3])
    assert not torch.equal(given[0], given[1])
    assert not torch.equal(given[0], given[2])


@pytest.mark.parametrize("on", [{"flip": 1.0}, {"brightness": 0.5}, {"crop": 0.3, "hue": 0.4}])
def test_shown__stays_within_black_and_white(on: dict[str, float]) -> None:
    given = shown(on_device(), torch.arange(10), spec=TrainSpec(augment=AugmentSpec(**on)), step=1)
    assert given.pixel_values(torch.arange(10)).abs().max() <= 1 + 1e-5


def test_mixup__mixes_pixels_and_losses_of_two_images() -> None:
    images, rows, places = on_device(), torch.tensor([7, 2, 5, 0]), torch.arange(4)
    given = shown(images, rows, spec=TrainSpec(augment=AugmentSpec(mixup=1.0)), step=2)
    draws = draw(AugmentSpec(mixup=1.0), 4, seed=0, step=2)
    share, other = torch.from_numpy(draws.share).float(), rows[torch.from_numpy(draws.partner)]
    own, mixed_in = images.pixel_values(rows), images.pixel_values(other)
    expected = share.view(-1, 1, 1, 1) * own + (1 - share).view(-1, 1, 1, 1) * mixed_in
    close(given.pixel_values(places), expected, atol=1e-5)

    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    targets = share[:, None] * one_hot(images.labels[rows], 3) + (1 - share)[:, None] * one_hot(images.labels[other], 3)
    close(given.losses(logits, places), cross_entropy(logits, targets, reduction="none"), atol=1e-5)


def test_mixup__partners_are_changed_as_they_would_be_alone() -> None:
    images, places = on_device(), torch.arange(6)
    mixed = shown(images, places, spec=TrainSpec(augment=EVERYTHING), step=1)
    exclusive = shown(images, places, spec=TrainSpec(augment=EVERYTHING.model_copy(update={"mixup": 0.0})), step=1)
    draws = draw(EVERYTHING, 6, seed=0, step=1)
    share, own = torch.from_numpy(draws.share).float().view(-1, 1, 1, 1), exclusive.pixel_values(places)
    expected = share * own + (1 - share) * own[torch.from_numpy(draws.partner)]
    close(mixed.pixel_values(places), expected, atol=1e-5)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_label_smoothing__is_torchs_and_goes_with_mixup(mixup: float) -> None:
    images, rows, places = on_device(), torch.tensor([7, 2, 5, 0]), torch.arange(4)
    spec = TrainSpec(augment=AugmentSpec(mixup=mixup), label_smoothing=0.1)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    draws = draw(spec.augment, 4, seed=0, step=1)
    share, other = torch.from_numpy(draws.share).float(), rows[torch.from_numpy(draws.partner)]
    own, others = (
        cross_entropy(logits, images.labels[chosen], reduction="none", label_smoothing=0.1) for chosen in (rows, other)
    )
    close(shown(images, rows, spec=spec, step=1).losses(logits, places), share * own + (1 - share) * others, atol=1e-5)


def test_shown__a_step_of_one_image() -> None:
    images = on_device()
    given = shown(images, torch.tensor([4]), spec=TrainSpec(augment=EVERYTHING, label_smoothing=0.1), step=1)
    assert given.pixel_values(torch.zeros(1, dtype=torch.int64)).shape == (1, 3, 8, 8)
    assert given.losses(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)).tolist() == pytest.approx([math.log(3)])


def test_shown__without_changes_is_for_evaluation() -> None:
    images, rows = on_device(), torch.tensor([7, 2])
    assert torch.equal(Shown(images, rows).pixel_values(torch.arange(2)), images.pixel_values(rows))
