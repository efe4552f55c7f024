"""Windows lie where they may, and what is cut from them is what was there."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
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

sizes_of_pictures = st.lists(
    st.tuples(st.integers(8, 900), st.integers(8, 900)), min_size=1, max_size=20
)
seeds = st.integers(0, 2**32)
quick = settings(deadline=None, max_examples=50, derandomize=True)


def drawing(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, height: int, width: int, channels: int = 3) -> Images:
    pixels = torch.randint(
        256, (count, channels, height, width), dtype=torch.uint8, generator=drawing(1)
    )
    return Images(pixels, torch.arange(count))


def inside(windows: torch.Tensor, sizes: torch.Tensor, pad: float = 0.0) -> bool:
    """Whether windows lie in their pictures, but for the rounding of single precision."""
    first, last = windows[:, :2], windows[:, :2] + windows[:, 2:]
    return bool((first >= -pad - 1e-3).all() and (last <= sizes + pad + 1e-3).all())


@quick
@given(sizes_of_pictures, st.integers(8, 300), st.integers(1, 8), seeds)
def test_a_crop_from_the_centre_square_stays_in_it(sizes, side, less, seed):
    sizes = torch.tensor(sizes)
    crop = max(1, side - less)
    windows = RandomCrop().draw(sizes, side, crop, drawing(seed))
    shorter = sizes.min(1, keepdim=True).values
    begins = ((sizes - shorter) / 2).floor()
    assert inside(windows - torch.cat([begins, 0 * begins], 1), shorter.expand(-1, 2) + 0.5)
    assert torch.allclose(windows[:, 2:] * side, (crop * shorter).expand(-1, 2).float())


@quick
@given(sizes_of_pictures, st.integers(224, 256), seeds)
def test_a_crop_from_anywhere_is_a_square_of_the_scaled_picture(sizes, side, seed):
    sizes = torch.tensor(sizes)
    windows = RandomCrop(whole=True).draw(sizes, side, 224, drawing(seed))
    pixel = sizes.min(1, keepdim=True).values / side  # one of the scaled picture, in the stored one
    # the longer side of the scaled picture is rounded to whole pixels, so half a one may stick out
    assert inside(windows / pixel, sizes / pixel, pad=0.5)
    assert torch.allclose(windows[:, 2:], (224 * pixel).float().expand(-1, 2))


@quick
@given(sizes_of_pictures, seeds)
def test_jitter_keeps_the_shorter_side_between_256_and_480(sizes, seed):
    sizes = torch.tensor(sizes)
    windows = ScaleJitter(256, 480).draw(sizes, 0, 224, drawing(seed))
    scaled = sizes.min(1).values * 224 / windows[:, 2]  # the shorter side where 224 are shown
    assert scaled.min() > 255.99
    assert scaled.max() < 480.01
    assert torch.equal(windows[:, 2], windows[:, 3])


def test_every_scale_from_256_to_512_is_drawn_as_often():
    sizes = torch.full((20_000, 2), 500)
    windows = ScaleJitter(256, 512).draw(sizes, 0, 224, drawing(0))
    scales = (500 * 224 / windows[:, 2]).round()
    assert scales.unique().tolist() == list(range(256, 513))
    assert scales.mean() == pytest.approx(384, abs=1.5)  # 3 standard errors: 3 * 74 / 141


@quick
@given(sizes_of_pictures, seeds)
def test_areas_and_aspects_lie_between_8_and_100_percent_and_3_4_and_4_3(sizes, seed):
    sizes = torch.tensor(sizes)
    windows = RandomResizedCrop().draw(sizes, 0, 224, drawing(seed))
    assert inside(windows, sizes)
    height, width = windows[:, 2:].unbind(1)
    # lengths are rounded to whole pixels: half a pixel more or less on either side
    assert ((width - 0.5) / (height + 0.5) <= 4 / 3).all()
    assert ((height - 0.5) / (width + 0.5) <= 4 / 3).all()
    drawn = sizes.max(1).values < 4 * sizes.min(1).values  # of others, the largest that fits
    assert ((height + 0.5) * (width + 0.5) >= 0.08 * sizes.prod(1))[drawn].all()


def test_the_share_of_the_area_is_uniform_where_it_always_fits():
    sizes = torch.full((20_000, 2), 1000)
    windows = RandomResizedCrop(low=0.1, high=0.5).draw(sizes, 0, 224, drawing(0))
    share = windows[:, 2:].prod(1) / 1e6
    assert share.mean() == pytest.approx(0.3, abs=0.003)
    assert share.var() == pytest.approx(0.4**2 / 12, rel=0.03)
    tilt = (windows[:, 3] / windows[:, 2]).log()
    assert tilt.mean() == pytest.approx(0, abs=0.005)


def test_a_picture_too_narrow_for_any_draw_shows_the_largest_rectangle_in_its_middle():
    windows = RandomResizedCrop(low=0.9).draw(torch.tensor([[30, 300]]), 0, 224, drawing(0))
    assert windows.tolist() == [[0, 130, 30, 40]]  # 4 to 3, and (300 - 40) / 2


@pytest.mark.parametrize(
    "window",
    [RandomCrop(), RandomCrop(4), RandomCrop(whole=True), ScaleJitter(40, 60), RandomResizedCrop()],
)
def test_each_picture_has_its_own_draw_and_the_generator_alone_decides(window):
    sizes = torch.full((64, 2), 50)
    torch.manual_seed(1)
    first = window.draw(sizes, 40, 28, drawing(7))
    torch.manual_seed(2)
    assert torch.equal(first, window.draw(sizes, 40, 28, drawing(7)))
    assert not torch.equal(first, window.draw(sizes, 40, 28, drawing(8)))
    assert len(first.unique(dim=0)) > 32


def test_a_window_says_whether_it_needs_more_than_the_centre_square():
    samplers = (CentreCrop(), RandomCrop(), RandomCrop(whole=True), ScaleJitter(1, 2))
    assert [sampler.whole for sampler in samplers] == [False, False, True, True]
    assert RandomResizedCrop().whole
    assert dataclasses.asdict(ScaleJitter(256, 512)) == {"low": 256, "high": 512}


def test_a_crop_larger_than_the_picture_is_refused():
    sizes = torch.tensor([[40, 40]])
    for window in (RandomCrop(), RandomCrop(whole=True), ScaleJitter(32, 64)):
        with pytest.raises(ValueError, match="crop of 33 pixels does not fit into pictures of 32"):
            window.draw(sizes, 32, 33, drawing(0))
    assert RandomCrop(pad=1).draw(sizes, 32, 33, drawing(0)).shape == (1, 4)


@quick
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(-9, 9), st.integers(-9, 9)
)
def test_whole_pixel_windows_are_slices_with_black_around(height, width, side, top, left):
    images = pictures(3, height, width)
    windows = torch.tensor([[top, left, side, side]] * 2).float()
    cut = images.cut(torch.tensor([2, 0]), windows, side)
    around = torch.zeros(3, 3, height + 36, width + 36, dtype=torch.uint8)
    around[:, :, 18:-18, 18:-18] = images.pixels
    expected = around[[2, 0], :, top + 18 : top + 18 + side, left + 18 : left + 18 + side]
    assert torch.equal(cut, expected)


def test_each_picture_is_cut_at_its_own_window():
    images = pictures(4, 10, 12)
    windows = torch.tensor([[0, 0, 6, 6], [4, 6, 6, 6], [2, 3, 6, 6]]).float()
    cut = images.cut(torch.tensor([3, 1, 1]), windows, 6)
    assert torch.equal(cut[0], images.pixels[3, :, :6, :6])
    assert torch.equal(cut[1], images.pixels[1, :, 4:, 6:])
    assert torch.equal(cut[2], images.pixels[1, :, 2:8, 3:9])


@pytest.mark.parametrize("length", [10, 6, 5])
def test_no_pictures_can_be_cut_too(length):
    windows = torch.tensor([[0.0, 0.0, length, length]])[:0]
    assert pictures(2, 10, 10).cut(torch.arange(0), windows, 6).shape == (0, 3, 6, 6)


def test_zfnets_crops_are_the_four_corners_and_the_middle_of_the_centre_square():
    windows = CornerCrop().draw(torch.tensor([[256, 300]] * 200), 256, 224, drawing(0))
    places = {(0, 22), (0, 54), (32, 22), (32, 54), (16, 38)}  # 22 is (300 - 256) / 2
    assert {(int(top), int(left)) for top, left, *_ in windows.tolist()} == places
    assert windows[:, 2:].unique().tolist() == [224]


def test_a_cropped_cifar_picture_may_hang_four_pixels_over_the_border():
    images = Images(torch.full((500, 1, 32, 32), 9, dtype=torch.uint8), torch.zeros(500).long())
    windows = RandomCrop(pad=4).draw(images.sizes, 32, 32, drawing(0))
    assert windows[:, :2].unique().tolist() == list(range(-4, 5))
    covered = (images.cut(torch.arange(500), windows, 32)[:, 0] == 9).flatten(1).sum(1)
    assert covered.max() == 32 * 32
    assert covered.min() == 28 * 28


@quick
@given(
    st.integers(20, 60), st.integers(20, 60), st.integers(4, 70), st.floats(0, 1), st.floats(0.2, 1)
)
def test_a_resampled_window_is_what_pillow_makes_of_it(height, width, side, place, share):
    images = pictures(1, height, width)
    h, w = height * share, width * share
    top, left = (height - h) * place, (width - w) * (1 - place)
    windows = torch.tensor([[top, left, h, w]], dtype=torch.float32)
    ours = resample(images.pixels, windows, side)[0].permute(1, 2, 0).int()
    picture = Image.fromarray(images.pixels[0].permute(1, 2, 0).numpy())
    box = (left, top, min(left + w, width), min(top + h, height))
    theirs = picture.resize((side, side), Image.Resampling.BICUBIC, box)
    theirs = torch.frombuffer(bytearray(theirs.tobytes()), dtype=torch.uint8).view(side, side, 3)
    # Pillow rounds, and cuts off at 0 and 255, once more between its two passes
    assert (ours - theirs.int()).abs().float().mean() < 0.7
    assert (ours - theirs.int()).abs().max() <= 30


def test_smooth_pictures_are_resampled_as_by_pillow_to_the_last_bit_but_one():
    along = torch.arange(64, dtype=torch.float32)
    x = (100 + 80 * torch.sin(along[:, None] / 9) * torch.cos(along / 7)).to(torch.uint8)
    for side in (17, 32, 64, 100):
        windows = torch.tensor([[3.25, 5.5, 50.0, 41.75]])
        ours = resample(x[None, None], windows, side)[0, 0].int()
        box = (5.5, 3.25, 47.25, 53.25)
        theirs = Image.fromarray(x.numpy()).resize((side, side), Image.Resampling.BICUBIC, box)
        theirs = torch.frombuffer(bytearray(theirs.tobytes()), dtype=torch.uint8).view(side, side)
        assert (ours - theirs.int()).abs().max() <= 1


def test_what_lies_outside_stays_black_when_it_is_resampled():
    x = torch.full((1, 1, 20, 20), 200, dtype=torch.uint8)
    cut = resample(x, torch.tensor([[-20.0, 0.0, 40.0, 40.0]]), 20)[0, 0]
    expected = torch.zeros(20, 20, dtype=torch.uint8)
    expected[10:, :10] = 200
    assert torch.equal(cut, expected)


def test_the_same_window_gives_the_same_square_in_any_company():
    images = pictures(6, 30, 40)
    windows = RandomResizedCrop().draw(images.sizes, 0, 16, drawing(0))
    together = images.cut(torch.arange(6), windows, 16)
    for i in range(6):
        alone = images.cut(torch.tensor([i]), windows[i : i + 1], 16)[0]
        assert (alone.int() - together[i].int()).abs().max() <= 1  # another order of adding


def test_the_centre_of_a_picture_of_its_own_size_begins_at_a_whole_pixel():
    sizes = torch.tensor([[33, 50], [40, 33], [66, 100]])
    assert centre_boxes(sizes, 33, 28)[:2, :2].tolist() == [[2, 11], [6, 2]]
    assert centre_boxes(sizes, 33, 28)[2].tolist() == [5, 22, 56, 56]
