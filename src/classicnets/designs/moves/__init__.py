"""The papers' moves: each is one lesson of one paper, as a rewriting of a design."""

from classicnets.support.errors import suggest

from . import blocks, convolutions, layers
from .move import Move, Moved, folded, require_layer

__all__ = ["MOVES", "Move", "Moved", "find_move", "folded", "require_layer"]

LENET, ALEXNET, ZFNET, VGG = "LeNet-5", "AlexNet", "ZFNet", "VGG"
GOOGLENET, RESNET = "GoogLeNet", "ResNet"

MOVES = (
    Move(
        "relu",
        ALEXNET,
        "section 3.1",
        "With ReLU in place of tanh a network learns several times faster.",
        "a squash that does not feed prototypes",
        layers.relu,
    ),
    Move(
        "overlapping-pooling",
        ALEXNET,
        "section 3.4",
        "Pools of 3x3 at stride 2 give a lower error than those of 2x2, and overfit a little less.",
        "a 2x2 pool at stride 2",
        layers.overlapping,
    ),
    Move(
        "dropout",
        ALEXNET,
        "section 4.2",
        "Dropout in the hidden fully connected layers keeps them from overfitting.",
        "a fully connected layer before the last one without dropout",
        layers.dropout,
    ),
    Move(
        "smaller-first-window",
        ZFNET,
        "section 4.1",
        "A first layer of 7x7 at half the stride keeps what 11x11 at stride 4 loses; the second "
        "convolution takes over the stride.",
        "a first convolution of more than 7x7 at an even stride, and a second one at stride 1",
        convolutions.smaller_first_window,
    ),
    Move(
        "wider-middle",
        ZFNET,
        "section 5.1, Table 3",
        "More maps in the middle, 512, 1024, 512 for 384, 384, 256, lower the error.",
        "just three convolutions of 3x3 one after another, not the first ones",
        convolutions.wider_middle,
    ),
    Move(
        "two-3x3",
        VGG,
        "section 2.3",
        "Two layers of 3x3 read as many pixels as one of 5x5, with fewer weights and one more "
        "non-linearity.",
        "a convolution of 5x5",
        convolutions.two_3x3,
    ),
    Move(
        "three-3x3",
        VGG,
        "section 2.3",
        "Three layers of 3x3 read as many pixels as one of 7x7, with fewer weights and two more "
        "non-linearities.",
        "a convolution of 7x7",
        convolutions.three_3x3,
    ),
    Move(
        "1x1-convolution",
        VGG,
        "section 2.3, configuration C",
        "A 1x1 convolution of as many maps adds a non-linearity and leaves the receptive field.",
        "a convolution of at least 3x3 before a pool, not the first one",
        convolutions.one_by_one,
    ),
    Move(
        "global-average",
        GOOGLENET,
        "section 5",
        "Global average pooling before the first fully connected layer, as in Network in Network, "
        "takes most of its weights and does not raise the error.",
        "a fully connected layer that reads maps of more than one pixel",
        layers.global_average,
    ),
    Move(
        "inception",
        GOOGLENET,
        "section 4",
        "Windows of several sizes side by side, with 1x1 reductions, find patterns of several "
        "scales for less arithmetic.",
        "a convolution of 3x3 or 5x5 at stride 1 that keeps the size, of at least 16 maps, not the "
        "first one",
        convolutions.inception,
    ),
    Move(
        "1x1-reduction",
        GOOGLENET,
        "section 4",
        "A 1x1 convolution to half of the maps before a large window saves arithmetic.",
        "a convolution of at least 3x3 without groups that reads at least 8 maps, not one behind "
        "a 1x1 convolution",
        convolutions.reduction,
    ),
    Move(
        "auxiliary-head",
        GOOGLENET,
        "section 5",
        "A second classifier in the middle, in training only, strengthens the gradient of the "
        "lower layers.",
        "a pool or block of the network with maps of at least 5x5, and no auxiliary head",
        blocks.auxiliary,
        once=True,
    ),
    Move(
        "batch-norm",
        RESNET,
        "section 3.4",
        "Batch normalisation after each convolution, in place of response normalisation or none, "
        "keeps the signal of deep networks alive.",
        "a convolution without batch norm",
        layers.batch_norm,
    ),
    Move(
        "shortcut-2",
        RESNET,
        "section 3.2",
        "A shortcut around two layers lets them learn a residual; it costs no parameters.",
        "two convolutions that end with a ReLU and keep the shape or add maps, not the first ones",
        blocks.shortcut_2,
    ),
    Move(
        "shortcut-3",
        RESNET,
        "section 3.2",
        "A shortcut around three layers lets them learn a residual; it costs no parameters.",
        "three convolutions that end with a ReLU and keep the shape or add maps, not the first "
        "ones",
        blocks.shortcut_3,
    ),
    Move(
        "projection-shortcut",
        RESNET,
        "section 3.3, option B",
        "Where the number of maps grows, a 1x1 projection is a little better than zero maps.",
        "a residual block whose shortcut adds zero maps",
        blocks.projection,
    ),
    Move(
        "zero-maps-shortcut",
        RESNET,
        "section 3.3, option A",
        "Where the number of maps grows, zero maps cost no parameters and nearly reach the error "
        "of a projection.",
        "a residual block whose shortcut is a 1x1 projection to more maps",
        blocks.zero_maps,
    ),
    Move(
        "bottleneck",
        RESNET,
        "section 4.1, Figure 5",
        "1x1, 3x3, 1x1 with a quarter of the maps in between makes a block of three layers cheaper "
        "than one of two.",
        "a residual block of two 3x3 convolutions",
        blocks.bottleneck,
    ),
    Move(
        "strided-convolution",
        RESNET,
        "section 3.3",
        "A convolution at stride 2 halves height and width by itself, without a pool.",
        "a pool or subsampling right after a convolution at stride 1",
        layers.strided,
    ),
    Move(
        "average-pooling",
        LENET,
        "section II-A",
        "Local averaging makes the maps smaller and the output less sensitive to shifts: the older "
        "way, as a control.",
        "a max pool or subsampling",
        layers.average,
    ),
    Move(
        "subsampling",
        LENET,
        "section II-B",
        "2x2 sums, times a weight, plus a bias, squashed: the older way, as a control.",
        "a 2x2 pool at stride 2 without padding",
        layers.subsampling,
    ),
    Move(
        "squash",
        LENET,
        "section II-B",
        "The scaled tanh as non-linearity: the older way, as a control.",
        "a ReLU that is a line of its own, not the one of a residual block",
        layers.squash,
    ),
)


def find_move(name: str) -> Move:
    """The move of a name. Raises a ValueError that offers the nearest.

    >>> find_move("two-3x3").source
    'VGG, section 2.3'
    """
    found = {move.name: move for move in MOVES}
    if name not in found:
        raise ValueError(f"no move {name!r}; {suggest(name, found)}")
    return found[name]
