"""Image files become tensors: modes, folder layouts, splits and illegal data."""

import warnings
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from classicnets.data import published
from classicnets.data.augment import HorizontalFlip
from classicnets.data.crops import centre_boxes
from classicnets.data.decode import read_image, read_images
from classicnets.data.image_file import image_suffixes
from classicnets.data.images import Images, Splits, evenly_spaced
from classicnets.data.scaling import Between, Standardise, SubtractMean
from classicnets.data.sets import open_data, open_test
from classicnets.data.splitting import stratified_split
from classicnets.data.synthetic import shapes
from classicnets.support.errors import SkippedFiles

RED = (255, 0, 0)


def write_folder(root: Path, counts: dict[str, int], size=(12, 10)) -> Path:
    """Class folders of images of one colour each, different within a class."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", size, (k, 2 * k, 255)).save(root / name / f"{k}.png")
    return root


def test_the_1797_digits_are_split_70_10_20():
    data = open_data("digits", 32, 1)
    assert sum(data.sizes) == 1797
    assert [round(size / 1797, 2) for size in data.sizes] == [0.7, 0.1, 0.2]
    assert data.train.pixels.shape[1:] == (1, 32, 32)
    assert data.channels == 1


def test_every_split_has_every_digit_in_proportion():
    for train, validation, test in open_data("digits", 32, 1).counts().values():
        total = train + validation + test
        assert 174 <= total <= 183  # scikit-learn's description of the set
        assert abs(validation - 0.1 * total) <= 1
        assert abs(test - 0.2 * total) <= 1


def test_digits_are_bright_and_have_a_margin_of_two_pixels():
    data = open_data("digits", 32, 1)
    assert data.train.pixels[..., :2].sum() == 0
    assert data.train.pixels[..., -2:, :].sum() == 0
    assert data.train.pixels.max() == 255


def test_digits_can_have_three_channels_and_other_sizes():
    data = open_data("digits", 64, 3)
    assert data.test.pixels.shape[1:] == (3, 64, 64)
    assert torch.equal(data.test.pixels[:, 0], data.test.pixels[:, 2])


def test_splits_are_disjoint_complete_and_decided_by_the_seed():
    labels = torch.arange(50) % 5
    splits = stratified_split(labels, seed=3)
    assert sorted(torch.cat(splits).tolist()) == list(range(50))
    again = stratified_split(labels, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(splits, again, strict=True))
    assert not torch.equal(splits[0], stratified_split(labels, seed=4)[0])


def test_a_flat_folder_is_split_with_classes_in_order_of_name(tmp_path):
    data = open_data(str(write_folder(tmp_path, {"wolf": 10, "bear": 20})), 8, 3)
    assert data.classes == ("bear", "wolf")
    assert data.counts() == {"bear": (14, 2, 4), "wolf": (7, 1, 2)}
    seen = []
    for split in (data.train, data.validation, data.test):
        for image, label in zip(split.pixels, split.labels, strict=True):
            seen.append((*image[:, 0, 0].tolist(), int(label)))
    assert len(set(seen)) == 30  # no image twice


def test_train_val_and_test_folders_are_the_splits(tmp_path):
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        write_folder(tmp_path / split, {"a": count, "b": count})
    assert open_data(str(tmp_path), 8, 3).counts() == {"a": (4, 2, 1), "b": (4, 2, 1)}


def test_a_missing_test_folder_is_split_off_the_training_images(tmp_path):
    write_folder(tmp_path / "train", {"a": 10, "b": 10})
    write_folder(tmp_path / "val", {"a": 3, "b": 3})
    assert open_data(str(tmp_path), 8, 3).counts() == {"a": (8, 3, 2), "b": (8, 3, 2)}


def test_images_in_subfolders_of_a_class_belong_to_it(tmp_path):
    write_folder(tmp_path, {"a": 3, "b": 2})
    write_folder(tmp_path / "b", {"deeper": 2})
    assert sum(open_data(str(tmp_path), 8, 3).counts()["b"]) == 4


def test_a_damaged_image_is_skipped_and_named(tmp_path):
    write_folder(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / "0.png").write_bytes(b"not an image")
    whole = (tmp_path / "b" / "1.png").read_bytes()
    (tmp_path / "b" / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(SkippedFiles, match=r"^2 files skipped: .*0\.png cannot be read"):
        data = open_data(str(tmp_path), 8, 3)
    assert sum(map(sum, data.counts().values())) == 8
    assert ["0.png" in data.skipped[0], "1.png" in data.skipped[1]] == [True, True]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "has no class folders; each class needs a folder"),
        ({"a": 5}, "only one class, 'a'; at least two"),
        ({"a": 5, "b": 0}, "class 'b' .* has too few readable images: 0"),
        ({"a": 0, "b": 0}, "hold no images"),
        ({"a": 5, "b": 2}, "class 'b' .* has too few readable images: 2, but it needs at least 3"),
    ],
)
def test_a_folder_that_cannot_be_trained_on_is_refused(tmp_path, counts, message):
    with pytest.raises(ValueError, match=message):
        open_data(str(write_folder(tmp_path, counts)), 8, 3)


def test_loose_images_without_class_folders_are_refused(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="has no class folders \\(loose images: 1\\)"):
        open_data(str(tmp_path), 8, 3)


def test_a_class_that_only_the_validation_split_has_is_refused(tmp_path):
    write_folder(tmp_path / "train", {"a": 4, "b": 4})
    write_folder(tmp_path / "val", {"a": 4, "b": 4, "c": 4})
    with pytest.raises(ValueError, match="class 'c', which the training split lacks"):
        open_data(str(tmp_path), 8, 3)


def test_an_unknown_data_set_is_refused_with_the_nearest_names():
    with pytest.raises(ValueError, match="unknown data set or path 'digit'; did you mean digits"):
        open_data("digit", 32, 1)
    with pytest.raises(ValueError, match="choose from digits, mnist"):
        open_data("zebras", 32, 1)


def test_test_labels_follow_the_order_of_the_runs_classes(tmp_path):
    write_folder(tmp_path, {"b": 2, "c": 1})
    images = open_test(str(tmp_path), 8, 3, ("c", "a", "b")).images
    assert images.labels.tolist() == [2, 2, 0]
    with pytest.raises(ValueError, match="has the class 'c', which the network was not trained on"):
        open_test(str(tmp_path), 8, 3, ("a", "b"))


def test_the_centre_square_of_the_shorter_side_is_taken(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = RED
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert (read_image(tmp_path / "wide.png", 10, 3)[0] == 255).all()


def test_an_image_is_rotated_by_its_exif_tag(tmp_path):
    image = Image.new("RGB", (16, 16))
    image.paste(RED, (0, 0, 16, 8))  # the upper half
    exif = image.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    image.save(tmp_path / "x.png", exif=exif)
    red = read_image(tmp_path / "x.png", 16, 3)[0]
    assert red[:, 8:].min() == 255
    assert red[:, :8].max() == 0


@pytest.mark.parametrize(
    ("image", "suffix", "rgb"),
    [
        (Image.new("L", (8, 8), 77), "png", (77, 77, 77)),
        (Image.new("1", (8, 8), 1), "png", (255, 255, 255)),
        (Image.new("LA", (8, 8), (0, 0)), "png", (255, 255, 255)),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "png", (255, 255, 255)),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 255)), "png", RED),
        (Image.new("RGB", (8, 8), RED).convert("P"), "png", RED),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "tif", RED),
        (Image.fromarray(np.full((8, 8), 257 * 100, np.uint16)), "png", (100, 100, 100)),
        (Image.fromarray(np.full((8, 8), 257 * 100, np.int32)), "tif", (100, 100, 100)),
    ],
)
def test_images_of_any_mode_can_be_read(tmp_path, image, suffix, rgb):
    image.save(tmp_path / f"x.{suffix}")
    pixels = read_image(tmp_path / f"x.{suffix}", 4, 3)
    assert pixels.dtype == torch.uint8
    assert pixels.flatten(1).unique(dim=1)[:, 0].tolist() == list(rgb)
    assert read_image(tmp_path / f"x.{suffix}", 4, 1).shape == (1, 4, 4)


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def test_sixteen_bits_are_scaled_by_their_range_and_not_by_the_values(tmp_path):
    for value, byte in ((200, 1), (257 * 100, 100), (65535, 255)):  # 200 / 257 is nearest to 1
        path = save(tmp_path / f"{value}.png", np.full((4, 4), value, np.uint16))
        assert read_image(path, 4, 1).unique().tolist() == [byte]


def test_floating_point_images_must_lie_between_0_and_1(tmp_path):
    path = save(tmp_path / "half.tif", np.full((4, 4), 0.5, np.float32))
    assert read_image(path, 4, 1).unique().tolist() == [128]
    for value in (float("nan"), -0.1, 200.0):
        path = save(tmp_path / "wrong.tif", np.full((4, 4), value, np.float32))
        reason = "do not lie between 0 and 1" + ", and some are NaN" * (value != value)
        with pytest.raises(ValueError, match=rf"wrong.tif .* {reason}$"):
            read_image(path, 4, 1)


def test_only_formats_that_pillow_decodes_itself_are_images(tmp_path):
    assert {".png", ".jpg", ".webp", ".tif"} <= image_suffixes()
    assert not {".eps", ".ps", ".pdf", ".mpg", ".h5"} & image_suffixes()
    Image.new("RGB", (8, 8)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(ValueError, match="unknown image format"):
        read_image(tmp_path / "x.png", 8, 3)


def test_pillows_warnings_are_silenced_and_bombs_are_unreadable(tmp_path, monkeypatch, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        Image.new("L", (8, 8)).save(tmp_path / "small.png")
        Image.new("L", (12, 10)).save(tmp_path / "large.png")
        monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", "119")
        paths = [tmp_path / "small.png", tmp_path / "large.png"]
        _, reasons = read_images(paths, 4, 1)
    assert list(reasons) == [1]
    message = "large.png cannot be read as an image: 12 x 10 are 120 pixels; at most 119 are read"
    assert message in reasons[1]
    assert capfd.readouterr().err == ""


def test_about_half_of_the_images_are_flipped():
    x = torch.arange(4, dtype=torch.uint8).expand(1000, 1, 1, 4)
    flipped = HorizontalFlip()(x, torch.Generator().manual_seed(0))[:, 0, 0, 0] == 3
    assert 430 < flipped.sum() < 570


def test_an_off_centre_crop_is_rounded_to_the_upper_left():
    assert centre_boxes(torch.tensor([[5, 5]]), side=5, crop=2).tolist() == [[1, 1, 2, 2]]


def test_pixels_are_scaled_as_the_recipes_say():
    pixels = torch.tensor([[0, 255], [100, 50]], dtype=torch.uint8)[:, None, None]
    images = Images(pixels, torch.tensor([0, 1]))
    lenet = Between(-0.1, 1.175).fit(images)(pixels)
    assert torch.allclose(lenet.flatten(), torch.tensor([-0.1, 1.175, 0.4, 0.15]), atol=1e-6)
    mean = (255 + 100 + 50) / 4
    assert torch.allclose(SubtractMean().fit(images)(pixels), pixels.float() - mean)
    standard = Standardise().fit(images)(pixels)
    assert torch.allclose(standard.mean(), torch.tensor(0.0), atol=1e-6)
    assert torch.allclose(standard.std(correction=0), torch.tensor(1.0), atol=1e-5)


def test_the_mean_is_per_channel():
    pixels = torch.zeros(5, 3, 2, 2, dtype=torch.uint8)
    pixels[:, 1] = 10
    assert SubtractMean().fit(Images(pixels, torch.zeros(5).long())).shift == (0.0, -10.0, 0.0)


def splits(**others) -> Splits:
    """Two classes in three splits; `others` replaces some of them."""
    images = Images(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))
    three = {"train": images, "validation": images, "test": images}
    return Splits("mine", ("a", "b"), **three | others)


def test_illegal_labels_are_refused(monkeypatch):
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    beyond = Images(pixels, torch.tensor([0, 200]))
    with pytest.raises(
        ValueError, match=r"^mine, test split, has the label 200; labels must be 0 to 1"
    ):
        splits(test=beyond)
    with pytest.raises(
        ValueError, match=r"^mine, train split, has the label -1; labels must be 0 to 1"
    ):
        replace(splits(), train=Images(pixels, torch.tensor([-1, 0])))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    with pytest.raises(ValueError, match=r"^there are 2 images and 3 labels; each needs one$"):
        splits(validation=Images(pixels, torch.tensor([0, 1, 1])))


def test_a_split_may_lack_a_class_unless_it_is_required():
    few = splits(test=Images(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.tensor([0])))
    with pytest.raises(
        ValueError, match=r"^class 'b' in mine, test split, has too few readable images: 0"
    ):
        few.require_labels(1)


def test_images_of_three_equal_channels_are_grey(tmp_path):
    assert open_data("digits", 32, 1).grey
    assert open_data("digits", 32, 3).grey
    assert splits().grey
    data = splits()
    data.train.pixels[1, 2, 3, 3] = 1
    assert not data.grey


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_grey_image_files_are_recognised(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (70, 90), dtype=np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(4):
            grey = Image.fromarray(noise + np.uint8(k)).convert("RGB")
            grey.save(tmp_path / name / f"{k}.{suffix}")
    assert open_data(str(tmp_path), 32, 3, whole=True).grey
    assert open_data(str(tmp_path), 32, 3).grey
    for k in range(4):
        Image.new("RGB", (70, 90), RED).save(tmp_path / "b" / f"{k}.{suffix}")
    assert not open_data(str(tmp_path), 32, 3, whole=True).grey
    assert not open_data(str(tmp_path), 32, 3).grey


def test_evenly_spaced_indices_are_all_where_there_are_few():
    assert evenly_spaced(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(3, 4).tolist() == [0, 1, 2]
    assert evenly_spaced(0, 4).tolist() == []


def test_the_digest_of_a_data_set_does_not_depend_on_size_and_channels():
    digests = {open_data("digits", *form).digest for form in ((32, 1), (64, 3))}
    assert len(digests) == 1
    assert digests != {""}


def test_synthetic_shapes_have_four_classes_in_three_splits():
    data = shapes(80, side=16, channels=1)
    assert data.train.pixels.shape == (56, 1, 16, 16)
    assert data.counts()["cross"] == (14, 2, 4)


def test_synthetic_shapes_can_be_opened_by_name():
    data = open_data("synthetic", 32, 1)
    assert data.sizes == (420, 60, 120)


def test_the_digits_are_those_that_scikit_learn_loads():
    for read, loaded in zip(published._read_digits(), load_digits(return_X_y=True), strict=True):
        assert np.array_equal(read, loaded)


def test_an_archive_is_to_be_unpacked(tmp_path):
    (tmp_path / "photos.zip").touch()
    with pytest.raises(ValueError, match="cannot be read as data; unpack it; data is a folder"):
        open_data(str(tmp_path / "photos.zip"), 32, 3)
