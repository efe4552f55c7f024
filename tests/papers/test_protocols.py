"""The papers' test protocols: how many views an image has, and where they lie."""

import pytest
import torch

import classicnets as cn
from classicnets.evaluation.dense import DenseHead, dense_scores
from classicnets.evaluation.protocols import PROTOCOLS, Crops, Dense, TrainScale, count_views

IMAGENET = TrainScale(side=256, crop=224)


def boxes(name: str, size: tuple[int, int], scale: TrainScale = IMAGENET) -> list[list[float]]:
    protocol = PROTOCOLS[name]
    assert isinstance(protocol, Crops)
    return protocol.boxes(torch.tensor([size]), scale)[0].tolist()


def sides(name: str, scale: TrainScale = IMAGENET) -> tuple[int, ...]:
    protocol = PROTOCOLS[name]
    assert isinstance(protocol, Dense)
    return protocol.sides(scale)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("single", 1),
        ("ten-crop", 10),
        ("dense", 2),
        ("multi-scale", 6),
        ("50-crop", 50),
        ("150-crop", 150),
        ("144-crop", 144),
        ("fully-convolutional", 5),
    ],
)
def test_an_image_has_as_many_views_as_in_the_paper(name, count):
    assert count_views(PROTOCOLS[name], IMAGENET) == count


def test_alexnets_ten_crops_are_the_corners_and_the_centre_of_256_mirrored():
    square = [224.0, 224.0]
    assert boxes("ten-crop", (256, 256)) == [
        [0, 0, *square],
        [0, 32, *square],
        [32, 0, *square],
        [32, 32, *square],
        [16, 16, *square],
    ]
    corners = [box[:2] for box in boxes("ten-crop", (256, 256), TrainScale(256, 227))]
    assert corners == [[0, 0], [0, 29], [29, 0], [29, 29], [14, 14]]


def test_the_ten_crops_lie_in_the_centre_square_of_an_image_of_twice_the_size():
    assert boxes("ten-crop", (512, 612)) == [
        [0, 50, 448, 448],
        [0, 114, 448, 448],
        [64, 50, 448, 448],
        [64, 114, 448, 448],
        [32, 82, 448, 448],
    ]


def test_vggs_fifty_crops_are_a_grid_of_five_by_five():
    corners = [box[:2] for box in boxes("50-crop", (256, 324))]
    assert corners == [[y, x] for y in (0, 8, 16, 24, 32) for x in (0, 25, 50, 75, 100)]


def test_vggs_150_crops_are_three_grids_of_five_by_five():
    # the side of 256 is resized to 224, 256 and 288: a crop is 256, 224 and 199.1 pixels of it
    lengths = [box[2] for box in boxes("150-crop", (256, 256))]
    assert lengths == pytest.approx([256] * 25 + [224] * 25 + [224 * 256 / 288] * 25)
    last = boxes("150-crop", (256, 256))[-1]
    assert last == pytest.approx([64 * 256 / 288] * 2 + [224 * 256 / 288] * 2)


def test_googlenets_144_crops_are_six_of_three_squares_at_four_sides():
    views = boxes("144-crop", (288, 400))
    assert len(views) == 4 * 3 * 6
    middle_at_288 = views[18 + 6 : 18 + 12]
    assert middle_at_288 == [
        [0, 56, 224, 224],
        [0, 120, 224, 224],
        [64, 56, 224, 224],
        [64, 120, 224, 224],
        [32, 88, 224, 224],
        [0, 56, 288, 288],
    ]
    whole = views[5::6]
    assert whole == [[0, x, 288, 288] for _ in range(4) for x in (0, 56, 112)]
    crops = [views[18 * k][2] for k in range(4)]
    assert crops == pytest.approx([224 * 288 / side for side in (256, 288, 320, 352)])


def test_the_squares_of_an_upright_image_are_its_top_middle_and_bottom():
    assert boxes("144-crop", (400, 288))[5:18:6] == [[y, 0, 288, 288] for y in (0, 56, 112)]


def test_dense_evaluation_has_the_papers_sides():
    assert sides("dense") == (256,)
    assert sides("dense", TrainScale(384, 224, (256, 512))) == (384,)
    assert sides("multi-scale") == (224, 256, 288)
    assert sides("multi-scale", TrainScale(384, 224)) == (352, 384, 416)
    assert sides("multi-scale", TrainScale(384, 224, (256, 512))) == (256, 384, 512)
    assert sides("fully-convolutional") == (224, 256, 384, 480, 640)


def test_at_an_eighth_of_the_training_size_all_sizes_are_an_eighth():
    small = TrainScale(side=256 // 8, crop=224 // 8)
    assert sides("multi-scale", small) == (28, 32, 36)
    assert sides("fully-convolutional", small) == (28, 32, 48, 60, 80)
    assert [box[:2] for box in boxes("ten-crop", (32, 32), small)][:4] == [
        [0, 0],
        [0, 4],
        [4, 0],
        [4, 4],
    ]


@pytest.mark.parametrize("name", [name for name, p in PROTOCOLS.items() if isinstance(p, Crops)])
@pytest.mark.parametrize("size", [(256, 256), (375, 500), (501, 333), (32, 32)])
@pytest.mark.parametrize("scale", [IMAGENET, TrainScale(32, 32), TrainScale(384, 224, (256, 512))])
def test_no_view_reaches_beyond_the_image(name, size, scale):
    for top, left, height, width in boxes(name, size, scale):
        assert top >= 0
        assert left >= 0
        assert top + height <= size[0] + 1e-3
        assert left + width <= size[1] + 1e-3


def test_vgg_on_384_pixels_gives_a_class_map_of_six_by_six(on_meta):
    network = on_meta(cn.vgg, "D").eval()
    head = DenseHead.of(network, torch.zeros(1, 3, 224, 224, device="meta"))
    assert head.window == (7, 7)
    larger = torch.zeros(2, 3, 384, 384, device="meta")
    assert dense_scores(network, head, larger).shape == (2, 1000, 6, 6)
