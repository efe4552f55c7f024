"""Images and data sets made in Python: what they take, and what they are refused for."""

from collections.abc import Callable
from dataclasses import replace

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import classicnets as cn
from classicnets.data.images import ImageFiles, Images, Splits
from classicnets.data.synthetic import shapes

PIXELS, LABELS = torch.zeros(3, 1, 4, 5, dtype=torch.uint8), torch.tensor([0, 1, 1])
SIZES = torch.tensor([[4, 5]] * 3)
ROUND = "; multiply values of 0 to 1 by 255, and convert them by .round().to(torch.uint8)"
NOT_PIXELS: dict[str, tuple[object, str]] = {
    "float32": (PIXELS.float(), f"float32 (3, 1, 4, 5){ROUND}"),
    "half": (PIXELS.half(), f"float16 (3, 1, 4, 5){ROUND}"),
    "int64": (PIXELS.long(), "int64 (3, 1, 4, 5); convert them by .to(torch.uint8)"),
    "bool": (PIXELS.bool(), "bool (3, 1, 4, 5); convert them by .to(torch.uint8)"),
    "one image": (PIXELS[0, 0], "uint8 (4, 5)"),
    "five dimensions": (PIXELS[None], "uint8 (1, 3, 1, 4, 5)"),
    "no rows": (PIXELS[:, :, :0], "uint8 (3, 1, 0, 5)"),
    "no channels": (PIXELS[:, :0], "uint8 (3, 0, 4, 5)"),
    "numpy": (PIXELS.numpy(), "numpy.ndarray; torch.from_numpy converts it"),
    "list": ([[[0]]], "list"),
}
NOT_LABELS: dict[str, tuple[object, str]] = {
    "int32": (LABELS.int(), "int32 (3,); convert them by .to(torch.int64)"),
    "float32": (LABELS.float(), "float32 (3,); convert them by .to(torch.int64)"),
    "a column": (LABELS[:, None], "int64 (3, 1)"),
    "numpy": (LABELS.numpy(), "numpy.ndarray; torch.from_numpy converts it"),
    "names": (["a", "b", "b"], "list"),
}


@pytest.fixture(autouse=True)
def _as_outside_of_tests(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize("name", NOT_PIXELS)
def test_pixels_are_bytes_in_four_dimensions_that_are_not_empty(name):
    pixels, kind = NOT_PIXELS[name]
    with pytest.raises(ValueError, match=r"^pixels must be") as caught:
        Images(pixels, LABELS)  # type: ignore[arg-type]
    message = f"pixels must be a tensor of uint8, (n, c, h, w) or (n, h, w), not {kind}"
    assert str(caught.value) == message


@pytest.mark.parametrize("name", NOT_LABELS)
@pytest.mark.parametrize(
    "make",
    [
        lambda labels: Images(PIXELS, labels),
        lambda labels: ImageFiles(["a", "b", "c"], labels, SIZES, 1),
        lambda labels: replace(Images(PIXELS, LABELS), labels=labels),
    ],
    ids=["Images", "ImageFiles", "replace"],
)
def test_labels_are_whole_numbers_in_one_dimension(name, make: Callable[[object], object]):
    labels, kind = NOT_LABELS[name]
    with pytest.raises(ValueError, match=r"^labels must be") as caught:
        make(labels)
    assert str(caught.value) == f"labels must be a tensor of int64, (n,), not {kind}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Images(PIXELS, LABELS[:2]),
        lambda: ImageFiles(["a", "b", "c"], LABELS[:2], SIZES[:2], 1),
        lambda: ImageFiles(["a", "b", "c"], LABELS[:2], SIZES, 1),
    ],
)
def test_each_image_has_a_label(make):
    with pytest.raises(ValueError, match=r"^there are 3 images and 2 labels; each needs one$"):
        make()


def test_the_sizes_of_files_are_height_and_width():
    with pytest.raises(ValueError, match=r"^sizes must be a .*int64, \(n, 2\), not int64 \(3,\)"):
        ImageFiles(["a", "b", "c"], LABELS, SIZES[:, 0], 1)


def test_grey_images_may_lack_the_dimension_of_channels():
    images = Images(PIXELS[:, 0], LABELS)
    assert images.pixels.shape == (3, 1, 4, 5)
    assert images.channels == 1


def splits(**parts: object) -> Splits:
    one = Images(PIXELS, LABELS)
    return Splits(**{"name": "mine", "classes": ("a", "b"), "train": one, "validation": one,
                     "test": one} | parts)  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"classes": ("a", "a")}, "classes must be a tuple of different names, not ('a', 'a')"),
        ({"classes": "ab"}, "classes must be a tuple of different names, not 'ab'"),
        ({"classes": (0, 1)}, "classes must be a tuple of different names, not (0, 1)"),
        ({"classes": ()}, "classes must be a tuple of different names, not ()"),
        ({"classes": ("a",)}, "mine, train split, has the label 1; labels must be 0 to 0"),
        ({"test": (PIXELS, LABELS)}, "test must be Images or ImageFiles, not tuple"),
        (
            {"validation": Images(PIXELS[:0], LABELS[:0])},
            "mine, validation split, has no images; training, validation and test each need some",
        ),
        (
            {"test": Images(PIXELS.expand(-1, 3, -1, -1), LABELS)},
            "the splits of mine must have the same channels, not [1, 1, 3]",
        ),
        (
            {"test": Images(PIXELS, LABELS - 1)},
            "mine, test split, has the label -1; labels must be 0 to 1",
        ),
    ],
)
def test_splits_fit_their_classes_and_each_other(parts, message):
    with pytest.raises(ValueError, match=r"must|has") as caught:
        splits(**parts)
    assert str(caught.value) == message


def test_a_list_of_classes_is_as_good_as_a_tuple():
    assert splits(classes=["a", "b"]).classes == ("a", "b")


def test_an_evaluation_takes_images_of_the_runs_classes_and_channels_only(tmp_path):
    data = shapes(40, side=12)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    cn.train(network, data, epochs=1, out=tmp_path / "run").finish()
    pixels, labels = data.test.pixels, data.test.labels

    def refusal(pixels: Tensor, labels: Tensor) -> str:
        with pytest.raises(ValueError, match=r"the data have|the data has") as caught:
            cn.evaluate(tmp_path / "run", Images(pixels, labels), network=network)
        return str(caught.value)

    assert refusal(pixels, labels - 4).endswith(f"{int(labels[0]) - 4}; labels must be 0 to 3")
    assert refusal(pixels, labels + 4).endswith(f"{int(labels[0]) + 4}; labels must be 0 to 3")
    message = "the data have 1 channels, but the run was trained on 3"
    assert refusal(pixels[:, :1], labels) == message
    assert cn.evaluate(tmp_path / "run", Images(pixels, labels), network=network).images == 8
    assert np.isfinite(cn.evaluate(tmp_path / "run", network=network, data=data.test).top1_error)
