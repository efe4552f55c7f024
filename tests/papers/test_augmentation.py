"""The augmentations are as the papers describe them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from classicnets.data.augment import ColourNoise, ColourShift, Distortion, HorizontalFlip
from classicnets.data.images import Images


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coloured(count: int = 300) -> Images:
    """Images whose colours vary most from dark to light, then from red to blue."""
    grey, red = torch.randn(2, count, 1, 6, 6, generator=seeded(1))
    pixels = 128 + torch.cat([30 * grey + 8 * red, 30 * grey, 30 * grey - 8 * red], 1)
    noise = torch.randn(pixels.shape, generator=seeded(2))
    return Images((pixels + noise).clamp(0, 255).round().to(torch.uint8), torch.zeros(count).long())


def test_colour_noise_has_the_principal_colours_and_their_variances():
    images = coloured()
    fitted = ColourNoise(std=0.1).fit(images)
    colours = images.pixels.permute(1, 0, 2, 3).reshape(3, -1).numpy() / 255
    variances, vectors = np.linalg.eig(np.cov(colours, bias=True))  # pixels in [0, 1]
    expected = sorted(0.1 * 255 * variances)
    lengths = [math.hypot(*direction) for direction in fitted.directions]
    assert sorted(lengths) == pytest.approx(expected, rel=1e-4)
    for direction, length in zip(fitted.directions, lengths, strict=True):
        cosines = abs(np.array(direction) @ vectors) / length
        assert max(cosines) == pytest.approx(1, abs=1e-4)


def test_the_shift_is_small_beside_the_colours_and_not_255_times_as_large():
    (*_, largest) = sorted(ColourNoise().fit(coloured()).directions, key=lambda d: math.hypot(*d))
    # brightness has a standard deviation of 30 in each of three channels, so its variance is
    # 3 * (30 / 255)^2 = 0.0415; a tenth of it, scaled back to 0 to 255, is 1.06
    assert math.hypot(*largest) == pytest.approx(1.06, rel=0.05)


def test_each_image_is_shifted_once_and_all_its_pixels_alike():
    fitted = ColourNoise().fit(coloured())
    x = torch.randint(256, (500, 3, 4, 5), dtype=torch.uint8, generator=seeded())
    shift = fitted(x, seeded(3)) - x.float()
    assert torch.allclose(shift, shift[:, :, :1, :1].expand_as(shift), atol=1e-4)
    amounts = shift[:, :, 0, 0].double() @ torch.tensor(fitted.directions).double().pinverse()
    assert amounts.mean(0).abs().max() < 0.15  # 3.4 standard errors
    assert (amounts.std(0) - 1).abs().max() < 0.12
    correlations = torch.corrcoef(amounts.T) - torch.eye(3)
    assert correlations.abs().max() < 0.15


def test_grey_images_have_one_principal_colour():
    grey = Images(coloured().pixels[:, :1], torch.zeros(300).long())
    ((length,),) = ColourNoise().fit(grey).directions
    assert abs(length) == pytest.approx(
        25.5 * (grey.pixels.double() / 255).var(correction=0).item()
    )


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(0, 2**32), st.booleans())
def test_flipping_twice_changes_nothing(seed, floating):
    x = torch.randint(256, (40, 3, 5, 6), dtype=torch.uint8, generator=seeded())
    x = x.float() if floating else x
    once = HorizontalFlip()(x, seeded(seed))
    assert once.dtype == x.dtype
    assert torch.equal(HorizontalFlip()(once, seeded(seed)), x)
    flipped = (once != x).flatten(1).any(1)
    assert torch.equal(once[flipped], x[flipped].flip(-1))
    assert 5 < flipped.sum() < 35


def blob(side: int = 64) -> torch.Tensor:
    """A bright disc in the middle of each of 200 black images."""
    along = torch.arange(side) - (side - 1) / 2
    disc = (along[:, None] ** 2 + along**2 < (side / 5) ** 2).float() * 255
    return disc.expand(200, 1, side, side).contiguous()


def moments(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Mass, centre (right, down), variances along x and y, and covariance."""
    side = x.shape[-1]
    along = torch.arange(side) - (side - 1) / 2
    x = x[:, 0].double()
    mass = x.sum((1, 2))
    right = (x * along).sum((1, 2)) / mass
    down = (x * along[:, None]).sum((1, 2)) / mass
    xx = (x * (along - right[:, None, None]) ** 2).sum((1, 2)) / mass
    yy = (x * (along[:, None] - down[:, None, None]) ** 2).sum((1, 2)) / mass
    shear = (x * (along - right[:, None, None]) * (along[:, None] - down[:, None, None])).sum(
        (1, 2)
    )
    return mass, right, down, xx, yy, shear / mass


NONE = {"shift": 0.0, "scale": 1.0, "squeeze": 1.0, "shear": 0.0, "unchanged": 0.0}


def distorted(**ranges: float) -> tuple[torch.Tensor, ...]:
    return moments(Distortion(**(NONE | ranges))(blob(), seeded(4)))


def test_a_distortion_by_zero_changes_nothing():
    assert torch.allclose(Distortion(**NONE)(blob(), seeded()), blob(), atol=0.01)


def test_a_translation_is_up_to_a_fraction_of_the_side():
    _, right, down, xx, yy, _ = distorted(shift=0.125)
    for moved in (right, down):
        assert moved.abs().max() < 8.1
        assert moved.max() > 7
        assert moved.min() < -7
    assert torch.corrcoef(torch.stack([right, down]))[0, 1].abs() < 0.25
    assert (xx / yy - 1).abs().max() < 0.01


def test_scaling_keeps_the_disc_round_and_squeezing_keeps_its_area():
    disc, *_, _xx0, _yy0, _ = moments(blob())
    mass, right, _, xx, yy, _ = distorted(scale=1.2)
    assert (xx / yy - 1).abs().max() < 0.03
    assert (mass / disc).max().item() == pytest.approx(1.2**2, rel=0.03)
    assert (mass / disc).min().item() == pytest.approx(1.2**-2, rel=0.03)
    assert right.abs().max() < 0.1
    mass, *_, xx, yy, shear = distorted(squeeze=1.2)
    assert (mass / disc - 1).abs().max() < 0.02
    assert (xx / yy).max().item() == pytest.approx(1.2**2, rel=0.03)  # width over height, squared
    assert (xx / yy).min().item() == pytest.approx(1.2**-2, rel=0.03)
    assert shear.abs().max() < 0.1


def test_the_shear_is_horizontal():
    disc, *_, yy0, _ = moments(blob())
    mass, _, _, _xx, yy, shear = distorted(shear=0.3)
    assert (yy / yy0 - 1).abs().max() < 0.02  # rows stay where they are
    assert (mass / disc - 1).abs().max() < 0.02
    slant = shear / yy  # by how much a row moves to the right for each row down
    assert slant.abs().max().item() == pytest.approx(0.3, abs=0.02)
    assert slant.max() > 0.25
    assert slant.min() < -0.25


def test_a_tenth_of_the_images_is_undistorted():
    x = blob(16).repeat(20, 1, 1, 1)
    same = (Distortion()(x, seeded()) - x).abs().flatten(1).max(1).values < 0.01
    assert same.double().mean().item() == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize(
    "augment", [HorizontalFlip(), Distortion(), ColourShift(((1.0, 0.0, 2.0),))]
)
def test_only_the_generator_decides(augment):
    x = torch.randint(256, (30, 3, 8, 8), dtype=torch.uint8, generator=seeded())
    torch.manual_seed(1)
    first = augment(x, seeded(5))
    torch.manual_seed(2)
    assert torch.equal(first, augment(x, seeded(5)))
    assert not torch.equal(first, augment(x, seeded(6)))
    assert augment.fit(coloured()) == augment
