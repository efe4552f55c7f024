"""What all tests share: a fixed seed, threads for two cores, networks looked at, commands run."""

import contextlib
import functools
import gc
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from PIL import Image
from torch import nn

CORES = 2
THREADS = max(1, CORES // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
torch.set_num_threads(THREADS)
os.environ["OMP_NUM_THREADS"] = str(THREADS)  # of the processes that tests start


def pytest_collection_finish():
    """Modules and tests stay: collections of garbage need not look at them, in half their time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fixed_seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def on_meta() -> Callable[..., nn.Module]:
    """Builds a network without allocating its weights: on_meta(vgg, "E")."""

    def build(builder: Callable[..., nn.Module], *args, **kwargs) -> nn.Module:
        with torch.device("meta"):
            return builder(*args, **kwargs)

    return build


@pytest.fixture(scope="session")
def parameters() -> Callable[[nn.Module], int]:
    """The number of parameters of a module."""
    return lambda module: sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="session")
def weights() -> Callable[[nn.Module], int]:
    """The number of weights of a module's convolutions and full layers, biases apart."""
    return lambda module: sum(
        layer.weight.numel()
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    )


@pytest.fixture(scope="session")
def shapes() -> Callable[[nn.Module, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """What every layer of a network gives for one image: name -> shape without the batch."""

    def look(network: nn.Module, size: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        seen: dict[str, tuple[int, ...]] = {}
        hooks = [
            layer.register_forward_hook(
                lambda _layer, _args, out, name=name: seen.update({name: tuple(out.shape[1:])})
            )
            for name, layer in network.named_modules()
        ]
        device = next(network.parameters()).device
        network.eval()(torch.zeros(1, *size, device=device))
        for hook in hooks:
            hook.remove()
        return seen

    return look


@pytest.fixture(scope="session")
def measured():
    """The report on a network of the catalogue at its paper's input, made once."""
    from classicnets import catalog
    from classicnets.measure import measure

    @functools.cache
    def report(name: str):
        entry = catalog.find(name)
        with torch.device("meta"):
            network = entry.build()
        return measure(network, entry.input, name=name)

    return report


@pytest.fixture(scope="session")
def within() -> Callable[[float, Callable[[], Any]], Any]:
    """The result of a call that takes less than so many CPU seconds, at one of three attempts.

    Three, since a garbage collection of all that a process holds falls into one of them.
    """

    def attempt(seconds: float, call: Callable[[], Any]) -> Any:
        taken = []
        for _ in range(3):
            began = time.process_time()
            result = call()
            taken.append(time.process_time() - began)
            if taken[-1] < seconds:
                return result
        pytest.fail(f"took {', '.join(f'{t:.1f}' for t in taken)} s, not less than {seconds} s")

    return attempt


@pytest.fixture(scope="session")
def write_folder() -> Callable[..., Path]:
    """Writes two classes of grey squares that are easy to tell apart, dark and light ones."""

    def write(root: Path, count: int = 12) -> Path:
        for name, light in (("dark", 0), ("light", 180)):
            (root / name).mkdir(parents=True)
            for k in range(count):
                Image.new("L", (40, 36), light + 6 * k).save(root / name / f"{k}.png")
        return root

    return write


class Result(NamedTuple):
    """The exit status of a command, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., Result]:
    """Runs a command in this process, which saves an import of torch each time."""

    def run(*words: object, stdin: str | None = "") -> Result:
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.MonkeyPatch.context() as patch,
            mock.patch.dict(os.environ),  # which --max-pixels changes
        ):
            patch.setattr(sys, "argv", ["classicnets", *map(str, words)])
            patch.setattr(sys, "stdin", None if stdin is None else io.StringIO(stdin))
            from classicnets.cli import main

            with pytest.raises(SystemExit) as end:
                main()
        return Result(int(end.value.code or 0), out.getvalue(), err.getvalue())

    return run
