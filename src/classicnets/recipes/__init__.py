"""What each paper did to train its networks, as values."""

from . import lenet

# Where a paper's recipe would not do for a set, the set's own: (network, data) -> recipe
FOR_SETS = {("lenet5", "digits"): lenet.DIGITS}
