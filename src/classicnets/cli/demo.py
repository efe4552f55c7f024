"""The verb demo: everything once, on real handwritten digits, in less than a minute."""

from .train import command, conclude, follow, introduce


def demo() -> None:
    """Train LeNet-5 on 1,797 handwritten digits, and say what to try next."""
    from PIL import Image

    import classicnets as cn

    training = cn.train("lenet5", "digits")
    introduce(training)
    follow(training)
    conclude(training)
    digit = training.directory / "digit.png"
    Image.fromarray(training.splits.test.pixels[0, 0].numpy()).save(digit)
    typed = command()
    print("\nwhat to try next:")
    print(f"  {typed} show lenet5")
    print(f"  {typed} predict {training.directory} {digit}")
    print(f"  {typed} train lenet5 --data path/to/your/folder")
