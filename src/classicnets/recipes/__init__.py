"""What each paper did to train its networks, as values."""

from . import lenet, vgg

# Where a paper's recipe would not do for a set, the set's own: (network, data) -> recipe
FOR_SETS = {("lenet5", "digits"): lenet.DIGITS}

# Other recipes of a paper's own, by the family they are for and the name they are asked for by
MORE = {
    "lenet": {"distorted": lenet.DISTORTED, "fast": lenet.FAST},
    "vgg": {"s384": vgg.S384, "jitter": vgg.JITTER},
}
