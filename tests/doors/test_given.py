"""Images given in Python: each kind means the same as the file that holds it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import classicnets as cn
from classicnets.data import given as given_

GREY = np.random.default_rng(0).integers(0, 256, (40, 36), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (33, 50, 3), np.uint8)
FORMS = {
    "a path": lambda x, file: str(file),
    "a Path": lambda x, file: file,
    "a list": lambda x, file: [file],
    "an image": lambda x, file: Image.fromarray(x),
    "an opened image": lambda x, file: Image.open(file),
    "an array": lambda x, file: x,
    "an array of floating-point values": lambda x, file: (x / 255).astype(np.float32),
    "an array of another layout": lambda x, file: np.asfortranarray(x),
    "a tensor": lambda x, file: tensor(x),
    "a tensor of floating-point values": lambda x, file: tensor(x) / 255,
    "a tuple": lambda x, file: (tensor(x),),
    "a batch of tensors": lambda x, file: tensor(x)[None],
    "a batch of arrays": lambda x, file: x[None, ..., None] if x.ndim == 2 else x[None],
}


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x)[None] if x.ndim == 2 else torch.from_numpy(x).permute(2, 0, 1)


@pytest.mark.parametrize("x", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("form", FORMS)
def test_a_prediction_is_that_of_the_same_image_in_a_file(run, tmp_path, x, form):
    Image.fromarray(x).save(tmp_path / "x.png")
    (of_file,) = cn.predict(run, [tmp_path / "x.png"])
    (given,) = cn.predict(run, FORMS[form](x, tmp_path / "x.png"))
    assert given.top == of_file.top
    assert given.path in (str(tmp_path / "x.png"), "image 0")


def test_kinds_may_be_mixed_and_folders_be_among_them(run, tmp_path):
    for name in ("a", "b"):
        Image.fromarray(GREY).save(tmp_path / f"{name}.png")
    mixed = [GREY, tmp_path, Image.fromarray(COLOUR), tensor(GREY)[0]]
    names = [prediction.path for prediction in cn.predict(run, mixed)]
    files = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert names == ["image 0", *files, "image 2", "image 3"]


def test_a_turned_image_is_turned_as_its_file_is(run, tmp_path):
    turned = Image.fromarray(GREY)
    turned.getexif()[0x0112] = 6
    turned.save(tmp_path / "x.png", exif=turned.getexif())
    opened = Image.open(tmp_path / "x.png")
    assert cn.predict(run, opened)[0].top == cn.predict(run, tmp_path / "x.png")[0].top
    assert opened.size == (36, 40)  # it is left as it was


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (GREY * 1.0, "image 0 has values from 0 to 255; floating-point values lie between 0 and 1"),
        (GREY / 255 - 1, "has values from -1 to 0; floating-point"),
        (np.full((3, 3), np.nan), "has values from nan to nan"),
        (GREY.astype(np.int64), r"has the type int64; it takes bytes \(uint8\) from 0 to 255, or"),
        (GREY > 9, "has the type bool"),
        ([COLOUR[None]], r"the shape \(1, 33, 50, 3\); an array is \(h, w\) or .* are a list"),
        (COLOUR[None, ..., :2], r"image 0 has the shape \(33, 50, 2\); an array is \(h, w\) or"),
        (COLOUR.transpose(2, 0, 1), r"has the shape \(3, 33, 50\); an array is"),
        (torch.zeros(33, 50, 3), r"has the shape \(33, 50, 3\); .* a tensor \(1, h, w\) or"),
        (np.zeros((0, 3), np.uint8), r"has the shape \(0, 3\)"),
        ([GREY, GREY * 2.0], "image 1 has values"),
        ([Image.fromarray(GREY / np.float32(1))], "image 0 cannot be read .* between 0 and 1"),
    ],
)
def test_what_is_not_an_image_is_refused_with_what_is_legal(run, given, words):
    with pytest.raises(ValueError, match=words):
        cn.predict(run, given)
    with pytest.raises(ValueError, match=words):
        cn.see(run, given, "cam")


def test_an_object_of_another_kind_and_a_damaged_image_are_refused(tmp_path):
    with pytest.raises(ValueError, match="image 0 is of the type int; it takes a path, a Pillow"):
        list(given_._items.__wrapped__(5, "image 0", []))
    Image.fromarray(GREY).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(content[: len(content) // 2])
    with (
        Image.open(tmp_path / "x.png") as opened,
        pytest.raises(ValueError, match="png cannot be read as an image: "),
    ):
        given_.list_items(opened)


def test_one_word_number_or_run_need_not_be_in_a_list(run):
    assert [name for name, *_ in cn.see(run, GREY, "cam").steps] == ["cam"]
    named = cn.see(run, GREY, what="maps", layers="C1", maps=3)
    assert [name for name, *_ in named.steps] == ["maps-C1"]
    assert [row.run for row in cn.compare(run).rows] == [run.name]


def test_data_may_be_a_path_object(tmp_path, write_folder):
    folder = write_folder(tmp_path / "squares")
    training = cn.train("lenet5", Path(folder), epochs=1, out=tmp_path / "run")
    training.finish()
    again = cn.evaluate(tmp_path / "run", Path(folder))
    assert again.top1_error == cn.evaluate(tmp_path / "run", str(folder)).top1_error
    assert cn.pack(Path(folder), tmp_path / "a.pack", side=32).images == 24
