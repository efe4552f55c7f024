"""Every study that structure, arithmetic or a printed table decides, against typed numbers.

Expected values are of the papers or of arithmetic; see the tests of each paper.
"""

import pytest

from classicnets.studies.charts import draw
from classicnets.studies.index import STUDIES
from classicnets.studies.study import TRAINING

AT_ONCE = [one.name for one in STUDIES.values() if one.kind != TRAINING]
# study: its verdict, some of its figures, and what the answer says
EXPECTED = {
    "lenet5-ilsvrc": ("corrected", {"lenet": 1998, "first ILSVRC": 2010}, "2010"),
    "lenet5-layers": ("corrected", {"layers": 7, "without S2 and S4": 5}, "C1 S2 C3 S4 C5 F6"),
    "lenet5-shapes": ("confirmed", {"C1": 28, "S2": 14, "C3": 10, "S4": 5, "C5": 1}, "28, 14, 10"),
    "lenet5-subsampling": ("corrected", {"S2": 12, "S4": 32}, "coefficient"),
    "lenet5-c5": ("partly", {"image of 32x32": 1, "image of 36x36": 2}, "convolution of 5x5"),
    "lenet5-gaussian": (
        "corrected",
        # section 1.3's distances: the nearest bitmaps, 6 and 8, are 48 apart
        {"smallest penalty, of the 6 itself": 0, "next, of the 8": 48, "fixed values": 840},
        "smallest wins",
    ),
    "lenet5-table": ("corrected", {"links": 60, "parameters": 1516, "if all": 2416}, "60 of 96"),
    "lenet5-size": ("confirmed", {"parameters": 60_000, "connections": 340_908}, "340,908"),
    "alexnet-gpus": ("corrected", {"maps that a kernel of conv2 reads": 48}, "GPUs"),
    "alexnet-merged": (
        "corrected",
        {
            "alexnet": 60_965_224,
            "alexnet_merged": 62_378_344,
            "alexnet, multiply-adds": 724_406_816,
            "alexnet_merged, multiply-adds": 1_135_256_096,
        },
        "60,965,224",
    ),
    "alexnet-order": ("corrected", {"side of the maps that norm1 reads": 55}, "First norm1"),
    "alexnet-norm": (
        "corrected",
        # 100 / (2 + 1e-4 * 100^2)^0.75, and with five squares in the sum
        {"parameters and statistics": 0, "alone": 100 / 3**0.75,
         "with 4 strong neighbours": 100 / 7**0.75},
        "Lateral inhibition",
    ),
    "alexnet-conv1": ("corrected", {"weights": 34_848, "parameters": 34_944}, "34,944"),
    "alexnet-augmentation": ("partly", {"rotation": "no", "mirror images": "yes"}, "Crops"),
    "alexnet-dropout": ("corrected", {"fc6": 0.5, "fc7": 0.5, "fc8": 0.0}, "first two"),
    "alexnet-224": (
        "confirmed",
        {"224, pad 0": 54.25, "224, pad 2": 55.25, "227, pad 0": 55.0},
        "227 gives exactly 55",
    ),
    "alexnet-shapes": ("confirmed", {"lines": 14, "lines that agree": 14}, "one column"),
    "alexnet-recipe": ("confirmed", {"batch": 128, "weight decay": 5e-4}, "printed"),
    "zfnet-winner": ("corrected", {"Clarifai": 11.7, "ZFNet's paper, 6 networks": 14.8}, "11.7"),
    "zfnet-first-layer": ("confirmed", {"alexnet conv1": 55, "zfnet conv1": 110}, "110x110"),
    "zfnet-widths": (
        "corrected",
        {"zfnet": "384, 384, 256", "zfnet, parameters": 62_357_608,
         "zfnet_wide, parameters": 107_627_624},
        "384, 384, 256",
    ),
    "zfnet-other-changes": (
        "corrected",
        {"other stride in conv": "2", "other groups in conv": "2, 4, 5",
         "order in ZFNet": "pool1 norm1"},
        "stride 2",
    ),
    "vgg-19-layers": ("partly", {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}, "16"),
    "vgg-best-column": (
        "partly",
        {"S 256: D": "27.0 / 8.8", "S 256-512: E": "25.5 / 8.0"},
        "25.5 / 8.0",
    ),
    "vgg-memory": (
        "corrected",
        {"values in the rows": 15_237_608, "rows, MB": 60.950432},
        "61.0 MB",
    ),
    "vgg-batches": ("corrected", {}, "not the data set"),
    "vgg-classifier": (
        "partly",
        {"fc6": 102_764_544, "convolutions": 14_714_688, "fc6, %": 74.275},
        "138,357,544",
    ),
    "vgg-average": (
        "confirmed",
        {"vgg_d, weights of fc6": 102_760_448, "vgg_d_gap, weights of fc6": 2_097_152,
         "vgg_d_gap, all parameters": 37_694_248},
        "exactly 49 times",
    ),
    "vgg-140-million": ("confirmed", {"vgg_d": 138_357_544, "alexnet": 60_965_224}, "rounded"),
    "vgg-stack": ("confirmed", {"three 3x3": 27 * 64**2, "one 7x7": 49 * 64**2}, "81 %"),
    "googlenet-5-million": (
        "corrected",
        {"parameters": 6_998_552, "without the classifier": 5_973_552},
        "6,998,552",
    ),
    "googlenet-4-times": (
        "confirmed",
        {"naive, weights": 23_718_912, "with 1x1, weights": 5_842_176,
         "ratio": 23_718_912 / 5_842_176, "ratio in the notes' example": 1_089_536 / 346_112},
        "4.06 times",
    ),
    "googlenet-operations": (
        "partly",
        {"naive": 854_196_224, "with 1x1": 271_351_808},
        "358 M",
    ),
    "googlenet-depth": (
        "confirmed",
        {"naive": 672, "with projection": 480, "googlenet, after 5b": 1024},
        "672 maps in place of 480",
    ),
    "googlenet-22-layers": ("confirmed", {"longest path": 22}, "22 on the longest"),
    "googlenet-reduce": ("confirmed", {"3a": 96, "4d": 144, "5b": 192}, "6,998,552"),
    "googlenet-accuracy": ("partly", {"GoogLeNet, 7 networks": 6.67}, "7.0 against 7.9"),
    "resnet-decay": ("corrected", {"paper": 1e-4}, "0.0001"),
    "resnet-init": ("corrected", {"Xavier halved": 0.5}, "2 / fan-in"),
    "resnet-shortcuts": (
        "corrected",
        {"resnet34, shortcuts": 16, "resnet34, layers spanned": 2, "resnet152, shortcuts": 50,
         "resnet152, layers spanned": 3},
        "block of two",
    ),
    "resnet-152-layers": (
        "partly",
        {"lenet5": 7, "alexnet": 8, "vgg_e": 19, "resnet152": 152},
        "LeNet-5 has 7",
    ),
    "resnet-recipe": ("confirmed", {"convolutions": 53, "dropout layers": 0}, "printed"),
    "resnet-test-error": ("confirmed", {"plain34": 28.54, "resnet34_a": 25.03}, "training error"),
    "resnet-cause": ("corrected", {"cause": "left open"}, "optimisation"),
    "resnet-free": ("confirmed", {"plain20": 269_722, "resnet56": 853_018}, "Equal"),
    "error-by-year": (
        "corrected",
        {"2015 ResNet, 152 layers": 3.57, "2011 XRCE, Fisher vectors": 25.8, "human": 5.1},
        "not ZFNet",
    ),
    "human-error": ("confirmed", {"human": 5.1, "ResNet, 6 networks": 3.57}, "one trained"),
    "resnet-institute": ("corrected", {}, "Microsoft Research Asia"),
    "winners": ("confirmed", {"2014: next": 7.32}, "2013"),
}  # fmt: skip


def test_every_study_that_takes_no_training_has_its_numbers_here():
    assert sorted(EXPECTED) == sorted(AT_ONCE)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_study_finds_what_the_paper_or_arithmetic_says(name):
    verdict, figures, words = EXPECTED[name]
    found = STUDIES[name].run(None)  # type: ignore[arg-type]  # it trains nothing
    assert found.verdict == verdict
    assert words in found.answer
    for key, value in figures.items():
        exact = isinstance(value, str | int)
        assert found.figures[key] == (value if exact else pytest.approx(value, rel=1e-4))


def test_he_has_twice_the_variance_of_xavier():
    figures = STUDIES["resnet-init"].run(None).figures  # type: ignore[arg-type]
    assert figures["ours, as the paper's [13] has it"] == pytest.approx(2, rel=0.01)


def test_memory_follows_the_batch_and_not_the_images():
    figures = STUDIES["vgg-batches"].run(None).figures  # type: ignore[arg-type]
    few, many = (figures[f"{n} images, batches of 4, bytes kept"] for n in (8, 32))
    assert few == many
    assert figures["32 images, batches of 8, bytes kept"] == pytest.approx(2 * few, rel=0.05)


def test_a_chart_is_drawn():
    chart = STUDIES["lenet5-layers"].run(None).chart  # type: ignore[arg-type]
    assert chart is not None
    assert draw(chart).startswith(b"\x89PNG")
