"""Crop samplers, and what is cropped and resampled from their boxes."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image

from classicnets.data.crops import (
    CentreCrop,
    CornerCrop,
    RandomCrop,
    RandomResizedCrop,
    ScaleJitter,
    centre_boxes,
)
from classicnets.data.images import Images
from classicnets.data.resample import resample

image_sizes = st.lists(st.tuples(st.integers(8, 900), st.integers(8, 900)), min_size=1, max_size=20)
seeds = st.integers(0, 2**32)
quick = settings(deadline=None, max_examples=50, derandomize=True)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, height: int, width: int, channels: int = 3) -> Images:
    pixels = torch.randint(
        256, (count, channels, height, width), dtype=torch.uint8, generator=seeded(1)
    )
    return Images(pixels, torch.arange(count))


def inside(boxes: torch.Tensor, sizes: torch.Tensor, pad: float = 0.0) -> bool:
    """Whether boxes lie within their images, up to rounding in single precision."""
    first, last = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    return bool((first >= -pad - 1e-3).all() and (last <= sizes + pad + 1e-3).all())


@quick
@given(image_sizes, st.integers(8, 300), st.integers(1, 8), seeds)
def test_a_crop_from_the_centre_square_stays_in_it(sizes, side, less, seed):
    sizes = torch.tensor(sizes)
    crop = max(1, side - less)
    boxes = RandomCrop().sample(sizes, side, crop, seeded(seed))
    shorter = sizes.min(1, keepdim=True).values
    start = ((sizes - shorter) / 2).floor()
    assert inside(boxes - torch.cat([start, 0 * start], 1), shorter.expand(-1, 2) + 0.5)
    assert torch.allclose(boxes[:, 2:] * side, (crop * shorter).expand(-1, 2).float())


@quick
@given(image_sizes, st.integers(224, 256), seeds)
def test_a_crop_from_anywhere_is_a_square_of_the_scaled_image(sizes, side, seed):
    sizes = torch.tensor(sizes)
    boxes = RandomCrop(whole=True).sample(sizes, side, 224, seeded(seed))
    pixel = sizes.min(1, keepdim=True).values / side  # of the scaled image, in stored pixels
    # the longer side of the scaled image is rounded to whole pixels, so half a pixel may stick out
    assert inside(boxes / pixel, sizes / pixel, pad=0.5)
    assert torch.allclose(boxes[:, 2:], (224 * pixel).float().expand(-1, 2))


@quick
@given(image_sizes, seeds)
def test_scale_jitter_keeps_the_shorter_side_between_256_and_480(sizes, seed):
    sizes = torch.tensor(sizes)
    boxes = ScaleJitter(256, 480).sample(sizes, 0, 224, seeded(seed))
    scaled = sizes.min(1).values * 224 / boxes[:, 2]  # the shorter side when the crop is 224
    assert scaled.min() > 255.99
    assert scaled.max() < 480.01
    assert torch.equal(boxes[:, 2], boxes[:, 3])


def test_scale_jitter_is_uniform_from_256_to_512():
    sizes = torch.full((20_000, 2), 500)
    boxes = ScaleJitter(256, 512).sample(sizes, 0, 224, seeded(0))
    scales = (500 * 224 / boxes[:, 2]).round()
    assert scales.unique().tolist() == list(range(256, 513))
    assert scales.mean() == pytest.approx(384, abs=1.5)  # 3 standard errors: 3 * 74 / 141


@quick
@given(image_sizes, seeds)
def test_areas_and_aspects_lie_between_8_and_100_percent_and_3_4_and_4_3(sizes, seed):
    sizes = torch.tensor(sizes)
    boxes = RandomResizedCrop().sample(sizes, 0, 224, seeded(seed))
    assert inside(boxes, sizes)
    height, width = boxes[:, 2:].unbind(1)
    # lengths are rounded to whole pixels: half a pixel either way
    assert ((width - 0.5) / (height + 0.5) <= 4 / 3).all()
    assert ((height - 0.5) / (width + 0.5) <= 4 / 3).all()
    random = sizes.max(1).values < 4 * sizes.min(1).values  # else perhaps the fallback
    assert ((height + 0.5) * (width + 0.5) >= 0.08 * sizes.prod(1))[random].all()


def test_the_fraction_of_the_area_is_uniform_where_it_always_fits():
    sizes = torch.full((20_000, 2), 1000)
    boxes = RandomResizedCrop(low=0.1, high=0.5).sample(sizes, 0, 224, seeded(0))
    fraction = boxes[:, 2:].prod(1) / 1e6
    assert fraction.mean() == pytest.approx(0.3, abs=0.003)
    assert fraction.var() == pytest.approx(0.4**2 / 12, rel=0.03)
    tilt = (boxes[:, 3] / boxes[:, 2]).log()
    assert tilt.mean() == pytest.approx(0, abs=0.005)


def test_an_image_too_narrow_for_any_draw_gives_the_largest_centred_rectangle():
    boxes = RandomResizedCrop(low=0.9).sample(torch.tensor([[30, 300]]), 0, 224, seeded(0))
    assert boxes.tolist() == [[0, 130, 30, 40]]  # 4 to 3, and (300 - 40) / 2


@pytest.mark.parametrize(
    "sampler",
    [RandomCrop(), RandomCrop(4), RandomCrop(whole=True), ScaleJitter(40, 60), RandomResizedCrop()],
)
def test_each_image_has_its_own_draw_and_only_the_generator_decides(sampler):
    sizes = torch.full((64, 2), 50)
    torch.manual_seed(1)
    first = sampler.sample(sizes, 40, 28, seeded(7))
    torch.manual_seed(2)
    assert torch.equal(first, sampler.sample(sizes, 40, 28, seeded(7)))
    assert not torch.equal(first, sampler.sample(sizes, 40, 28, seeded(8)))
    assert len(first.unique(dim=0)) > 32


def test_whole_tells_whether_a_sampler_needs_more_than_the_centre_square():
    samplers = (CentreCrop(), RandomCrop(), RandomCrop(whole=True), ScaleJitter(1, 2))
    assert [sampler.whole for sampler in samplers] == [False, False, True, True]
    assert RandomResizedCrop().whole
    assert dataclasses.asdict(ScaleJitter(256, 512)) == {"low": 256, "high": 512}


def test_a_crop_larger_than_the_image_is_refused():
    sizes = torch.tensor([[40, 40]])
    for sampler in (RandomCrop(), RandomCrop(whole=True), ScaleJitter(32, 64)):
        with pytest.raises(ValueError, match="crop of 33 pixels does not fit into images of 32"):
            sampler.sample(sizes, 32, 33, seeded(0))
    assert RandomCrop(pad=1).sample(sizes, 32, 33, seeded(0)).shape == (1, 4)


@quick
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(-9, 9), st.integers(-9, 9)
)
def test_boxes_at_whole_pixels_are_slices_padded_with_black(height, width, side, top, left):
    images = noise(3, height, width)
    boxes = torch.tensor([[top, left, side, side]] * 2).float()
    crops = images.crop(torch.tensor([2, 0]), boxes, side)
    padded = torch.zeros(3, 3, height + 36, width + 36, dtype=torch.uint8)
    padded[:, :, 18:-18, 18:-18] = images.pixels
    expected = padded[[2, 0], :, top + 18 : top + 18 + side, left + 18 : left + 18 + side]
    assert torch.equal(crops, expected)


def test_each_image_is_cropped_to_its_own_box():
    images = noise(4, 10, 12)
    boxes = torch.tensor([[0, 0, 6, 6], [4, 6, 6, 6], [2, 3, 6, 6]]).float()
    crops = images.crop(torch.tensor([3, 1, 1]), boxes, 6)
    assert torch.equal(crops[0], images.pixels[3, :, :6, :6])
    assert torch.equal(crops[1], images.pixels[1, :, 4:, 6:])
    assert torch.equal(crops[2], images.pixels[1, :, 2:8, 3:9])


@pytest.mark.parametrize("length", [10, 6, 5])
def test_an_empty_batch_can_be_cropped(length):
    boxes = torch.tensor([[0.0, 0.0, length, length]])[:0]
    assert noise(2, 10, 10).crop(torch.arange(0), boxes, 6).shape == (0, 3, 6, 6)


def test_zfnets_crops_are_the_four_corners_and_the_middle_of_the_centre_square():
    boxes = CornerCrop().sample(torch.tensor([[256, 300]] * 200), 256, 224, seeded(0))
    places = {(0, 22), (0, 54), (32, 22), (32, 54), (16, 38)}  # 22 is (300 - 256) / 2
    assert {(int(top), int(left)) for top, left, *_ in boxes.tolist()} == places
    assert boxes[:, 2:].unique().tolist() == [224]


def test_a_padded_crop_may_reach_four_pixels_over_the_border():
    images = Images(torch.full((500, 1, 32, 32), 9, dtype=torch.uint8), torch.zeros(500).long())
    boxes = RandomCrop(pad=4).sample(images.sizes, 32, 32, seeded(0))
    assert boxes[:, :2].unique().tolist() == list(range(-4, 5))
    covered = (images.crop(torch.arange(500), boxes, 32)[:, 0] == 9).flatten(1).sum(1)
    assert covered.max() == 32 * 32
    assert covered.min() == 28 * 28


@quick
@given(
    st.integers(20, 60), st.integers(20, 60), st.integers(4, 70), st.floats(0, 1), st.floats(0.2, 1)
)
def test_resampling_agrees_with_pillow(height, width, side, place, fraction):
    images = noise(1, height, width)
    h, w = height * fraction, width * fraction
    top, left = (height - h) * place, (width - w) * (1 - place)
    boxes = torch.tensor([[top, left, h, w]], dtype=torch.float32)
    resampled = resample(images.pixels, boxes, side)[0].permute(1, 2, 0).int()
    pillow = Image.fromarray(images.pixels[0].permute(1, 2, 0).numpy())
    box = (left, top, min(left + w, width), min(top + h, height))
    pillow = pillow.resize((side, side), Image.Resampling.BICUBIC, box)
    expected = torch.frombuffer(bytearray(pillow.tobytes()), dtype=torch.uint8).view(side, side, 3)
    # Pillow rounds and clamps to 0 to 255 between its two passes as well
    assert (resampled - expected.int()).abs().float().mean() < 0.7
    assert (resampled - expected.int()).abs().max() <= 30


def test_resampling_smooth_images_agrees_with_pillow_within_one():
    along = torch.arange(64, dtype=torch.float32)
    x = (100 + 80 * torch.sin(along[:, None] / 9) * torch.cos(along / 7)).to(torch.uint8)
    for side in (17, 32, 64, 100):
        boxes = torch.tensor([[3.25, 5.5, 50.0, 41.75]])
        resampled = resample(x[None, None], boxes, side)[0, 0].int()
        box = (5.5, 3.25, 47.25, 53.25)
        pillow = Image.fromarray(x.numpy()).resize((side, side), Image.Resampling.BICUBIC, box)
        expected = torch.frombuffer(bytearray(pillow.tobytes()), dtype=torch.uint8).view(side, side)
        assert (resampled - expected.int()).abs().max() <= 1


def test_resampling_leaves_the_outside_black():
    x = torch.full((1, 1, 20, 20), 200, dtype=torch.uint8)
    crop = resample(x, torch.tensor([[-20.0, 0.0, 40.0, 40.0]]), 20)[0, 0]
    expected = torch.zeros(20, 20, dtype=torch.uint8)
    expected[10:, :10] = 200
    assert torch.equal(crop, expected)


def test_a_crop_does_not_depend_on_the_rest_of_the_batch():
    images = noise(6, 30, 40)
    boxes = RandomResizedCrop().sample(images.sizes, 0, 16, seeded(0))
    together = images.crop(torch.arange(6), boxes, 16)
    for i in range(6):
        alone = images.crop(torch.tensor([i]), boxes[i : i + 1], 16)[0]
        assert (alone.int() - together[i].int()).abs().max() <= 1  # another order of summation


def test_centre_boxes_of_unscaled_images_begin_at_whole_pixels():
    sizes = torch.tensor([[33, 50], [40, 33], [66, 100]])
    assert centre_boxes(sizes, 33, 28)[:2, :2].tolist() == [[2, 11], [6, 2]]
    assert centre_boxes(sizes, 33, 28)[2].tolist() == [5, 22, 56, 56]
