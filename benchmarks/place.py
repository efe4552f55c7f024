"""Where contestants compute: the processor, or a GPU. The one setting that all of them read."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from classicnets.measure import roofline
from classicnets.support.devices import synchronize

device = torch.device("cpu")


def move_to(name: str) -> None:
    """Sets the place for this process."""
    global device
    device = torch.device(name)


def on_gpu() -> bool:
    return device.type == "cuda"


def wait() -> None:
    """Until all that was begun is done; a GPU is given its work, and the program goes on."""
    synchronize(device)


def rest() -> None:
    """Gives back what memory is kept for later, since others are to have it in between."""
    if on_gpu():
        wait()
        torch.cuda.empty_cache()


def full() -> str:
    """What arithmetic with float32 is here: torch convolves on a GPU in TF32 unless it is told."""
    return "tf32" if on_gpu() else "fp32"


def peaks(quick: bool) -> dict[str, float]:
    """As `roofline.sample`; of a GPU float32 with and without TF32, each by its name."""
    with tf32(False):
        found = roofline.sample(device, quick=quick)
    if on_gpu():
        with tf32(True):
            short = roofline.sample(device, ("fp32",), quick=quick)
        found |= {name.replace("fp32", "tf32"): short[name] for name in short if name != "copy"}
    return found


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Inside, a GPU may shorten float32 to 10 binary digits, or must not."""
    settings = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [setting.allow_tf32 for setting in settings]
    for setting in settings:
        setting.allow_tf32 = allowed
    try:
        yield
    finally:
        for setting, was in zip(settings, before, strict=True):
            setting.allow_tf32 = was
