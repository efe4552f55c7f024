"""The device that a process benchmarks on, and its measured peaks."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from classicnets.measure import roofline
from classicnets.support import devices

device = torch.device("cpu")


def use_device(name: str) -> None:
    """Sets the device of this process."""
    global device
    device = torch.device(name)


def on_gpu() -> bool:
    return device.type == "cuda"


def synchronize() -> None:
    """Waits until the device has finished all work."""
    devices.synchronize(device)


def release_memory() -> None:
    """Returns a GPU's cached memory, which the next contender needs."""
    if on_gpu():
        synchronize()
        torch.cuda.empty_cache()


def float32() -> str:
    """The precision of float32 convolutions: torch's default on a GPU is TF32."""
    return "tf32" if on_gpu() else "fp32"


def reported_precision(precision: str) -> str:
    """The precision of a contender that executes in "fp32" or "bf16"."""
    return precision if precision == "bf16" else float32()


def measure_peaks(quick: bool) -> dict[str, float]:
    """As `roofline.sample`; on a GPU float32 with and without TF32, as "tf32" and "fp32"."""
    with tf32(False):
        peaks = roofline.sample(device, quick=quick)
    if on_gpu():
        with tf32(True):
            reduced = roofline.sample(device, ("fp32",), quick=quick)
        peaks |= {n.replace("fp32", "tf32"): rate for n, rate in reduced.items() if n != "copy"}
    return peaks


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allows or forbids TF32 (10 bits of mantissa) in matrix products and convolutions."""
    settings = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [setting.allow_tf32 for setting in settings]
    for setting in settings:
        setting.allow_tf32 = allowed
    try:
        yield
    finally:
        for setting, was in zip(settings, before, strict=True):
            setting.allow_tf32 = was
