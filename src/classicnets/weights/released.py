"""The published weights that fit a network of the catalogue: a written table."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from classicnets.data.download import Remote
from classicnets.data.scaling import Normalise

TORCH = Normalise(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
CAFFE = Normalise(mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0))
PIXELS = {"torchvision": TORCH, "timm": TORCH, "pytorchcv": TORCH, "keras": CAFFE, "caffe": CAFFE}
# Caffe's own models have other means; AlexNet's is the mean of its mean image in each channel
BVLC = {
    "alexnet": Normalise(mean=(122.679, 116.669, 104.007), std=(1.0, 1.0, 1.0)),
    "googlenet": Normalise(mean=(123.0, 117.0, 104.0), std=(1.0, 1.0, 1.0)),
}

SIDE = 256  # to which the shorter side is resized, before the centre crop of 224


@dataclass(frozen=True)
class Released:
    """Weights by the network they fit and the package they come from.

    `megabytes` are 10^6 bytes; `errors` the percentages that the package publishes for ImageNet's
    validation images, top-1 / top-5, one centre crop; `about` what is particular.
    """

    network: str
    source: str
    file: Remote
    megabytes: int
    errors: tuple[float, float]
    licence: str
    about: str

    @property
    def name(self) -> str:
        return f"{self.network}@{self.source}"


def _torchvision(network: str, file: str, megabytes: float, top1: float, top5: float) -> Released:
    """`megabytes` of 2^20 bytes and the accuracies as torchvision 0.29 prints them."""
    remote = Remote(
        file,
        "",
        ("https://download.pytorch.org/models/",),
        sha256=file.rpartition("-")[2].removesuffix(".pth"),
    )
    errors = (round(100 - top1, 2), round(100 - top5, 2))
    size = round(megabytes * 2**20 / 10**6)
    about = "torchvision's own; RGB"
    return Released(network, "torchvision", remote, size, errors, "BSD-3-Clause", about)


def _keras(
    network: str,
    folder: str,
    file: str,
    md5: str,
    megabytes: int,
    accuracies: tuple[float, float],
    licence: str,
) -> Released:
    """Accuracies as keras.io/api/applications prints them."""
    base = f"https://storage.googleapis.com/tensorflow/keras-applications/{folder}/"
    errors = (round(100 - accuracies[0], 1), round(100 - accuracies[1], 1))
    remote = Remote(f"{file}_weights_tf_dim_ordering_tf_kernels.h5", md5, (base,))
    about = "the authors', via Keras; BGR"
    return Released(network, "keras", remote, megabytes, errors, licence, about)


# who trained Caffe's weights: about them, their licence, where they are, and among the copies;
# addresses of that time vanish, and the sum says whether a copy is the same file
COPIES = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/caffe/models/"
BERKELEY = (
    "BVLC's own training; BGR",
    "unrestricted",
    "http://dl.caffe.berkeleyvision.org/",
    "",
)
OXFORD = (
    "the authors' own; BGR",
    "CC BY 4.0",
    "https://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/",
    "vgg",
)
MSRA = ("the authors' own; BGR", "MIT", "https://deepdetect.com/models/resnet/", "resnet")


def _caffe(
    network: str,
    maker: tuple[str, str, str, str],
    file: str,
    sha1: str,
    megabytes: int,
    errors: tuple[float, float],
) -> Released:
    """Sums and errors of BVLC's are those of each model's readme in Caffe's repository.

    The authors publish no sums; theirs are those that OpenCV's tests and MXNet's converter have.
    Errors are those of ResNet's repository, and for VGG of MatConvNet, to which that refers.
    """
    about, licence, place, folder = maker
    copies = f"{COPIES}{folder or file.removesuffix('.caffemodel')}/"
    remote = Remote(file, "", (place, copies), sha1=sha1)
    return Released(network, "caffe", remote, megabytes, errors, licence, about)


# the first of a network is the one that is meant by its name alone
# fmt: off
RELEASED = (
    _caffe("alexnet-bvlc.net", BERKELEY, "bvlc_alexnet.caffemodel",
        "9116a64c0fbe4459d18f4bb6b56d647b63920377", 244, (42.9, 19.8)),
    _caffe("googlenet", BERKELEY, "bvlc_googlenet.caffemodel",
        "405fc5acd08a3bb12de8ee5e23a96bec22f08204", 54, (31.3, 11.1)),
    _torchvision("vgg_a", "vgg11-8a719046.pth", 506.84, 69.02, 88.628),
    _torchvision("vgg_b", "vgg13-19584684.pth", 507.545, 69.928, 89.246),
    _torchvision("vgg_d", "vgg16-397923af.pth", 527.796, 71.592, 90.382),
    _keras("vgg_d", "vgg16", "vgg16", "64373286793e3c8b2b4e3219cbf3544b", 553, (71.3, 90.1),
        "CC BY 4.0"),
    _caffe("vgg_d", OXFORD, "VGG_ILSVRC_16_layers.caffemodel",
        "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24", 553, (28.5, 9.9)),
    _torchvision("vgg_e", "vgg19-dcbb9e9d.pth", 548.051, 72.376, 90.876),
    _keras("vgg_e", "vgg19", "vgg19", "cbe5617147190e668d6c5d5026f83318", 575, (71.3, 90.0),
        "CC BY 4.0"),
    _caffe("vgg_e", OXFORD, "VGG_ILSVRC_19_layers.caffemodel",
        "239785e7862442717d831f682bb824055e51e9ba", 575, (28.7, 9.9)),
    _torchvision("resnet18", "resnet18-f37072fd.pth", 44.661, 69.758, 89.078),
    _torchvision("resnet34", "resnet34-b627a593.pth", 83.275, 73.314, 91.42),
    _keras("resnet50", "resnet", "resnet50", "2cb95161c43110f7111970584f804107", 103, (74.9, 92.1),
        "MIT"),
    _keras("resnet101", "resnet", "resnet101", "f1aeb4b969a6efcfb50fad2f0c20cfc5", 179,
        (76.4, 92.8), "MIT"),
    _keras("resnet152", "resnet", "resnet152", "100835be76be38e30d865e96f2aaae62", 242,
        (76.6, 93.1), "MIT"),
    _caffe("resnet50-msra.net", MSRA, "ResNet-50-model.caffemodel",
        "b7c79ccc21ad0479cddc0dd78b1d20c4d722908d", 102, (24.7, 7.8)),
    _caffe("resnet101-msra.net", MSRA, "ResNet-101-model.caffemodel",
        "1dbf5f493926bb9b6b3363b12d5133c0f8b78904", 179, (23.6, 7.1)),
    _caffe("resnet152-msra.net", MSRA, "ResNet-152-model.caffemodel",
        "251edb93604ac8268c7fd2227a0f15144310e1aa", 241, (23.0, 6.7)),
    _torchvision("resnet50_v15", "resnet50-0676ba61.pth", 97.781, 76.13, 92.862),
    _torchvision("resnet101_v15", "resnet101-63fe2227.pth", 170.511, 77.374, 93.546),
    _torchvision("resnet152_v15", "resnet152-394f9c45.pth", 230.434, 78.312, 94.046),
)
# fmt: on


# in what the files of a package differ from our networks, and what becomes of it
TURNED = "reads blue, green, red; the first layer is turned round"
OF_A_MEAN_IMAGE = "a mean image was subtracted in training; here the mean of each channel is"
DIFFERS = {
    ("caffe", "alexnet"): (
        TURNED,
        OF_A_MEAN_IMAGE,
        "response normalisation has k 1 and alpha divided by 5; a design of this package has them",
    ),
    ("caffe", "googlenet"): (TURNED,),
    ("caffe", "vgg"): (TURNED,),
    ("caffe", "resnet"): (
        TURNED,
        OF_A_MEAN_IMAGE,
        "pool1 is not padded and rounds up; a design of this package does so",
    ),
    ("keras", "vgg"): (TURNED, "fc6 reads maps pixel by pixel; it is transposed"),
    ("keras", "resnet"): (
        TURNED,
        "convolutions have a bias; it is subtracted from the mean of the normalisation after it",
        "epsilon is 1.001e-5; what it has beyond 1e-5 is added to the variance",
    ),
}


def pixels_in_file(source: str, family: str) -> dict[str, object]:
    """The pixels that a package's own network reads: order, range, mean and deviation."""
    turned = -1 if source in ("keras", "caffe") else 1
    pixels = pixels_of(source, family)
    return {
        "order": "RGB"[::turned],
        "range": [0, 255],
        "mean": pixels.mean[::turned],
        "std": pixels.std[::turned],
    }


def find_released(network: str, source: str = "") -> Released | None:
    """Those of a network and, if it is named, of a source."""
    return next(_of(network, source), None)


def sources(network: str) -> list[str]:
    """Where there are weights of a network."""
    return [one.source for one in _of(network, "")]


def find_akin(network: str, source: str = "") -> Released | None:
    """Those of a later variant of a network, or of a design that differs from it in details."""
    variants = (f"{network}_v15", *(name for name in DESIGNS if name.startswith(f"{network}-")))
    return next((one for name in variants for one in _of(name, source)), None)


def _of(network: str, source: str) -> Iterator[Released]:
    for one in RELEASED:
        if one.network == network and source in ("", one.source):
            yield one


# the networks of released weights that are not quite the papers': design -> paper
DESIGNS = {
    "alexnet-bvlc.net": "alexnet",
    "resnet50-msra.net": "resnet",
    "resnet101-msra.net": "resnet",
    "resnet152-msra.net": "resnet",
}


def pixels_of(source: str, family: str) -> Normalise:
    """The pixels that the weights of a source have learnt."""
    return BVLC.get(family, PIXELS[source]) if source == "caffe" else PIXELS[source]


@cache
def imagenet_classes() -> dict[str, str]:
    """WordNet id -> name of the 1,000 classes of ILSVRC 2012, in the order of the scores.

    Ids are sorted, as the published networks have them; names are those of torchvision 0.29.
    """
    text = (files("classicnets.weights") / "imagenet.csv").read_text(encoding="utf-8")
    return {row["id"]: row["name"] for row in csv.DictReader(text.splitlines())}
