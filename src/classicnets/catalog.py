"""The catalogue: a written table, name -> (builder, recipe, paper)."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import ModuleType

from torch import nn

from classicnets.models import alexnet, googlenet, lenet, resnet, vgg, zfnet
from classicnets.recipes import (
    alexnet as alexnet_recipe,
    googlenet as googlenet_recipe,
    lenet as lenet_recipe,
    resnet as resnet_recipe,
    vgg as vgg_recipe,
    zfnet as zfnet_recipe,
)
from classicnets.recipes.fast import FAST, OWN
from classicnets.support.arguments import as_ours, as_theirs
from classicnets.support.errors import shell
from classicnets.support.files import exists
from classicnets.support.named_code import guarded, run_file
from classicnets.support.names import as_path, as_text, matching, short, spelling
from classicnets.training.recipe import Recipe


@dataclass(frozen=True)
class Paper:
    """Where a family was published; `choices` says where the paper leaves a choice, and ours.

    `page` is the name of its files: `models/<page>.py`, `recipes/<page>.py`, `docs/<page>.md`.
    """

    page: str
    title: str
    authors: str
    year: int
    where: str
    choices: str = field(repr=False)


@dataclass(frozen=True)
class Entry:
    """A network by name.

    `build(classes=..., channels=...)` builds it, `recipe` trains it; `paper` is None for a
    third-party network. `input` is the (c, h, w) it was published for, `printed` its size as the
    paper prints it, `published` the error the paper reports; `params` and `macs` are the exact
    parameters and the multiply-adds of one image. `design` is the text of a design file; `later`
    says what differs from the paper, in a network that came after it.
    """

    name: str
    build: Callable[..., nn.Module] = field(repr=False)
    recipe: Recipe = field(repr=False)
    paper: Paper | None
    input: tuple[int, int, int]
    printed: str = ""
    published: str = ""
    params: int = 0
    macs: int = 0
    design: str = ""
    later: str = ""


def names(pattern: str = "*") -> list[str]:
    """The networks whose name or alias matches a shell pattern, in order of publication.

    Where there are none, those whose name holds the pattern; upper case, hyphens, underscores and
    spaces do not matter.

    >>> names("vgg_?")
    ['vgg_a', 'vgg_b', 'vgg_c', 'vgg_d', 'vgg_e']
    >>> names("VGG-1*")
    ['vgg_a', 'vgg_b', 'vgg_d', 'vgg_e']
    """
    meant = matching(pattern, dict(zip(CATALOG, CATALOG, strict=True)) | ALIASES)
    return [name for name in CATALOG if name in meant]


list_models = names  # as timm and torchvision say it


def find(name: str | Callable[..., nn.Module]) -> Entry:
    """The entry of a name, of a design file `path/to/file.net` or of this package, such as
    `alexnet-bvlc.net`, of a third-party network written `path/to/file.py:builder`, or of a builder.
    `ResNet-50` is `resnet50`.

    Raises ValueError for an unknown name, for a file that cannot be read or run or is not a design,
    and for a file without that builder. So does `build` where that builder fails.
    """
    if not isinstance(name, str):
        ours = getattr(name, "__wrapped__", name)
        known = (entry for entry in CATALOG.values() if entry.build is ours)
        return next(known, None) or _of_builder(name)
    if name.endswith(".net"):
        own = files("classicnets.weights") / "designs" / name
        released = name == Path(name).name and not exists(name) and own.is_file()
        return from_design(Path(str(own)), name) if released else from_design(Path(as_path(name)))
    if ":" in name or name.endswith(".py"):
        return _from_file(name)
    known = SPELLINGS.get(spelling(name))
    if known is None:
        raise ValueError(f"no network {name!r}{_instead(name)}")
    return CATALOG[ALIASES.get(known, known)]


def build(
    name: str, classes: int | None = None, channels: int | None = None, **spelled: int
) -> nn.Module:
    """A network by name, with the paper's classes and channels by default.

    The number of classes may be spelled `num_classes`, that of channels `in_chans` or
    `in_channels`. Raises ValueError for an unknown name, another argument, or fewer than one class
    or channel.
    """
    given = {"classes": classes, "channels": channels} | spelled
    given = {word: number for word, number in given.items() if number is not None}
    return find(name).build(**as_ours(name, (), given))


def _of_builder(builder: object) -> Entry:
    if not callable(builder) or isinstance(builder, nn.Module):
        raise ValueError(
            f"a network cannot be {short(repr(builder), 60)}; it is a name such as resnet20, "
            "path/to/file.py:builder, or a function that builds a torch.nn.Module"
        )
    return _third_party(builder, getattr(builder, "__qualname__", repr(builder)), Path())


def from_design(path: Path, name: str = "") -> Entry:
    """The network that a design file describes, by its path or a `name`. The file is data: nothing
    in it runs.

    Raises ValueError for a file that is missing or not a design, with the number of the line.
    """
    # the reader of designs is not imported where a network is one of the catalogue
    from classicnets.designs.build import build as build_design, check  # noqa: PLC0415
    from classicnets.designs.reader import read, read_text  # noqa: PLC0415

    text = read_text(path)
    try:
        found = read(text)
        check(found)
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None
    images = (found.input[0], found.input[1], found.input[2])
    return Entry(
        name or as_text(path), partial(build_design, found), FAST, None, images, design=text
    )


def _instead(name: str) -> str:
    """What to say after an unknown name: what it is, or what there is."""
    if exists(f"{name}/run.json"):
        design = f"{name}/design.net"
        where = f"; {shell(design)} is one" if exists(design) else ", whose network run.json names"
        return f", which is a run, not a network{where}"
    if exists(name):
        kind = "folder" if Path(name).is_dir() else "file"
        as_data = shell("--data", name)
        return f", which is a {kind}: data go with a network, as in NETWORK {as_data}"
    plain = spelling(name)
    if held := [key for key in SPELLINGS if re.search(rf"{key}(?<=\d)(?!\d)", plain)]:
        base = SPELLINGS[max(held, key=len)]
        return f"; there is {base} as its paper published it, and no such variant"
    for family, start in FAMILIES.items():
        if plain.startswith(family):
            return f"; of this family there {_members(start)}"
    if near := get_close_matches(plain, SPELLINGS, n=3, cutoff=0.75):
        return f"; did you mean {' or '.join(SPELLINGS[key] for key in near)}?"
    return (
        "; there are those of the papers on LeNet, AlexNet, ZFNet, VGG, GoogLeNet and ResNet, "
        "which `classicnets list` shows, and my.net or path/to/file.py:builder for your own"
    )


def _members(start: str) -> str:
    """The networks whose names start so, with their other names in brackets."""
    others = {name: f" ({alias})" for alias, name in ALIASES.items()}
    names = [f"{name}{others.get(name, '')}" for name in CATALOG if name.startswith(start)]
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(names)}"


def _from_file(name: str) -> Entry:
    path, _, builder = name.rpartition(":")
    if not path or not builder:
        raise ValueError(f"a network in a file is written path/to/file.py:builder, not {name!r}")
    file = Path(as_path(path))
    make = getattr(run_file(file), builder, None)
    if not callable(make):
        raise ValueError(f"{path} has no builder {builder!r}")
    return _third_party(make, as_text(name), file)


def _third_party(make: Callable[..., object], name: str, path: Path) -> Entry:
    takes = inspect.signature(make).parameters

    def build(**wanted: int) -> nn.Module:
        with guarded(path, f"{name} does not build"):
            network = make(**as_theirs(wanted, takes))
        if not isinstance(network, nn.Module):
            raise ValueError(f"{name} gave a {type(network).__name__}, not a torch.nn.Module")
        return network

    return Entry(name, build, OWN, None, (3, 224, 224))


def _paper(file: ModuleType, title: str, authors: str, year: int, where: str) -> Paper:
    last = " ".join((file.__doc__ or "").strip().split("\n\n")[-1].split())
    heading, _, choices = last.partition(": ")
    assert heading == "Where the paper leaves a choice", file.__name__
    page = file.__name__.rpartition(".")[2]
    return Paper(page, title, authors, year, where, choices)


LENET = _paper(
    lenet,
    "Gradient-based learning applied to document recognition",
    "LeCun, Bottou, Bengio, Haffner",
    1998,
    "Proceedings of the IEEE 86(11)",
)
ALEXNET = _paper(
    alexnet,
    "ImageNet classification with deep convolutional neural networks",
    "Krizhevsky, Sutskever, Hinton",
    2012,
    "NIPS 2012",
)
ZFNET = _paper(
    zfnet,
    "Visualizing and understanding convolutional networks",
    "Zeiler, Fergus",
    2013,
    "arXiv:1311.2901v3, ECCV 2014",
)
VGG = _paper(
    vgg,
    "Very deep convolutional networks for large-scale image recognition",
    "Simonyan, Zisserman",
    2014,
    "arXiv:1409.1556v6, ICLR 2015",
)
GOOGLENET = _paper(
    googlenet,
    "Going deeper with convolutions",
    "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
    2014,
    "arXiv:1409.4842, CVPR 2015",
)
RESNET = _paper(
    resnet,
    "Deep residual learning for image recognition",
    "He, Zhang, Ren, Sun",
    2015,
    "arXiv:1512.03385, CVPR 2016",
)

_A = (alexnet_recipe.IMAGENET, ALEXNET, (3, 227, 227))
_Z = (zfnet_recipe.IMAGENET, ZFNET, (3, 224, 224))
_V = (vgg_recipe.IMAGENET, VGG, (3, 224, 224))
_G = (googlenet_recipe.IMAGENET, GOOGLENET, (3, 224, 224))
_R = (resnet_recipe.IMAGENET, RESNET, (3, 224, 224))
_C = (resnet_recipe.CIFAR, RESNET, (3, 32, 32))
_C110 = (resnet_recipe.CIFAR_110, *_C[1:])

V15 = "the stride of a bottleneck is in its 3x3 convolution, not in the first 1x1"

# The published errors are percentages, top-1 / top-5. ILSVRC-2012 validation, one network: AlexNet
# ten crops (Table 2); ZFNet Table 2; VGG one scale (Table 3); GoogLeNet one crop (Table 3); ResNet
# ten crops (Tables 2 and 3). MNIST and CIFAR-10 are test errors.
# fmt: off
CATALOG = {entry.name: entry for entry in (
    Entry("lenet5", lenet.lenet5, lenet_recipe.MNIST, LENET, (1, 32, 32),
        "60,000 parameters", "0.95 (MNIST)", 60_000, 325_680),
    Entry("alexnet", alexnet.alexnet, *_A,
        "60 million parameters", "40.7 / 18.2", 60_965_224, 724_406_816),
    Entry("alexnet_merged", alexnet.alexnet_merged, *_A,
        "", "", 62_378_344, 1_135_256_096),
    Entry("zfnet", zfnet.zfnet, *_Z,
        "", "38.4 / 16.5", 62_357_608, 1_168_032_896),
    Entry("zfnet_wide", zfnet.zfnet_wide, *_Z,
        "", "37.5 / 16.0", 107_627_624, 2_476_704_896),
    Entry("vgg_a", partial(vgg.vgg, "A"), *_V,
        "133 M parameters", "29.6 / 10.4", 132_863_336, 7_609_090_048),
    Entry("vgg_a_lrn", partial(vgg.vgg, "A-LRN"), *_V,
        "133 M parameters", "29.7 / 10.5", 132_863_336, 7_609_090_048),
    Entry("vgg_b", partial(vgg.vgg, "B"), *_V,
        "133 M parameters", "28.7 / 9.9", 133_047_848, 11_308_466_176),
    Entry("vgg_c", partial(vgg.vgg, "C"), *_V,
        "134 M parameters", "27.3 / 8.8", 133_638_952, 11_770_888_192),
    Entry("vgg_d", partial(vgg.vgg, "D"), *_V,
        "138 M parameters", "25.6 / 8.1", 138_357_544, 15_470_264_320),
    Entry("vgg_d_gap", vgg.vgg_d_gap, *_V,
        "", "", 37_694_248, 15_369_601_024,
        later="global average pooling before fc6"),
    Entry("vgg_e", partial(vgg.vgg, "E"), *_V,
        "144 M parameters", "25.5 / 8.0", 143_667_240, 19_632_062_464),
    Entry("googlenet", googlenet.googlenet, *_G,
        "6.8 M parameters, 1.5 G (sums of Table 1)", "- / 10.07", 6_998_552, 1_582_671_872),
    Entry("googlenet_naive", googlenet.googlenet_naive, *_G,
        "", "", 97_526_008, 12_568_061_056),
    Entry("resnet18", partial(resnet.resnet, 18), *_R,
        "1.8 G", "27.88 (option A)", 11_689_512, 1_814_073_344),
    Entry("resnet34", partial(resnet.resnet, 34), *_R,
        "3.6 G", "24.52 / 7.46", 21_797_672, 3_663_761_408),
    Entry("resnet34_a", partial(resnet.resnet, 34, "A"), *_R,
        "", "25.03 / 7.76", 21_623_848, 3_644_493_824),
    Entry("resnet34_b", partial(resnet.resnet, 34, "B"), *_R,
        "", "24.52 / 7.46", 21_797_672, 3_663_761_408),
    Entry("resnet34_c", partial(resnet.resnet, 34, "C"), *_R,
        "", "24.19 / 7.40", 22_716_840, 3_830_747_136),
    Entry("resnet50", partial(resnet.resnet, 50), *_R,
        "3.8 G", "22.85 / 6.71", 25_557_032, 3_857_973_248),
    Entry("resnet101", partial(resnet.resnet, 101), *_R,
        "7.6 G", "21.75 / 6.05", 44_549_160, 7_570_194_432),
    Entry("resnet152", partial(resnet.resnet, 152), *_R,
        "11.3 G", "21.43 / 5.71", 60_192_808, 11_282_415_616),
    Entry("resnet50_v15", partial(resnet.resnet_v15, 50), *_R,
        "", "", 25_557_032, 4_089_184_256, later=V15),
    Entry("resnet101_v15", partial(resnet.resnet_v15, 101), *_R,
        "", "", 44_549_160, 7_801_405_440, later=V15),
    Entry("resnet152_v15", partial(resnet.resnet_v15, 152), *_R,
        "", "", 60_192_808, 11_513_626_624, later=V15),
    Entry("plain18", partial(resnet.plain, 18), *_R,
        "", "27.94", 11_515_688, 1_794_805_760),
    Entry("plain34", partial(resnet.plain, 34), *_R,
        "3.6 G", "28.54 / 10.02", 21_623_848, 3_644_493_824),
    Entry("resnet20", partial(resnet.resnet_cifar, 20), *_C,
        "0.27 M parameters", "8.75 (CIFAR-10)", 269_722, 40_551_040),
    Entry("resnet32", partial(resnet.resnet_cifar, 32), *_C,
        "0.46 M parameters", "7.51 (CIFAR-10)", 464_154, 68_862_592),
    Entry("resnet44", partial(resnet.resnet_cifar, 44), *_C,
        "0.66 M parameters", "7.17 (CIFAR-10)", 658_586, 97_174_144),
    Entry("resnet56", partial(resnet.resnet_cifar, 56), *_C,
        "0.85 M parameters", "6.97 (CIFAR-10)", 853_018, 125_485_696),
    Entry("resnet110", partial(resnet.resnet_cifar, 110), *_C110,
        "1.7 M parameters", "6.43 (CIFAR-10)", 1_727_962, 252_887_680),
    Entry("resnet1202", partial(resnet.resnet_cifar, 1202), *_C110,
        "19.4 M parameters", "7.93 (CIFAR-10)", 19_421_274, 2_829_238_912),
    Entry("plain20", partial(resnet.plain_cifar, 20), *_C,
        "", "", 269_722, 40_551_040),
    Entry("plain32", partial(resnet.plain_cifar, 32), *_C,
        "", "", 464_154, 68_862_592),
    Entry("plain44", partial(resnet.plain_cifar, 44), *_C,
        "", "", 658_586, 97_174_144),
    Entry("plain56", partial(resnet.plain_cifar, 56), *_C,
        "", "", 853_018, 125_485_696),
    Entry("plain110", partial(resnet.plain_cifar, 110), *_C110,
        "", "> 60 (CIFAR-10)", 1_727_962, 252_887_680),
)}
# fmt: on

ALIASES = {
    "vgg11": "vgg_a",
    "vgg13": "vgg_b",
    "vgg16": "vgg_d",
    "vgg19": "vgg_e",
    "inception_v1": "googlenet",
}
SPELLINGS = {spelling(name): name for name in (*CATALOG, *ALIASES)}
# how one calls several networks, and how their names start
FAMILIES = {
    "lenet": "lenet",
    "vgg": "vgg",
    "inception": "googlenet",
    "resnet": "resnet",
    "plain": "plain",
}
