"""The verb demo: train and evaluate on real handwritten digits in about a minute."""

from .commands import command, next_commands, print_commands
from .report import print_introduction, print_summary
from .train import run_to_end


def demo() -> None:
    """Train LeNet-5 on handwritten digits in about a minute, into a new directory under runs.

    Prints the commands to try next.

    Example: classicnets demo
    """
    from PIL import Image

    import classicnets as cn
    from classicnets.data.images import Images

    training = cn.train("lenet5", "digits")
    print_introduction(training)
    run_to_end(training)
    print_summary(training)
    digit = training.directory / "digit.png"
    test = training.splits.test
    assert isinstance(test, Images)
    Image.fromarray(test.pixels[0, 0].cpu().numpy()).save(digit)
    own = command("train", "lenet5", "--data", "path/to/your/folder")
    print_commands([command("show", "lenet5"), *next_commands(training, digit), own])
