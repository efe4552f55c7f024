"""The verb demo: everything once, on real handwritten digits, in less than a minute."""

from .train import command, conclude, follow, introduce


def demo() -> None:
    """Train LeNet-5 on 1,797 handwritten digits, and say what to try next."""
    from PIL import Image

    import classicnets as cn
    from classicnets.data.images import Images

    training = cn.train("lenet5", "digits")
    introduce(training)
    follow(training)
    conclude(training)
    digit = training.directory / "digit.png"
    test = training.splits.test
    assert isinstance(test, Images)
    Image.fromarray(test.pixels[0, 0].cpu().numpy()).save(digit)
    typed = command()
    print("\nwhat to try next:")
    print(f"  {typed} show lenet5")
    print(f"  {typed} predict {training.directory} {digit}")
    print(f"  {typed} train lenet5 --data path/to/your/folder")
