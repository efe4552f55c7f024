"""Whole commands, from the start of the process to its end."""

import json
import subprocess
import sys
from functools import cache, partial
from tempfile import TemporaryDirectory
from time import perf_counter

from harness import Benchmark, Case, Contender, Target, peer
from PIL import Image

import classicnets as cn

SHOW = ("-m", "classicnets", "show", "resnet152")
HELP = ("-m", "classicnets", "--help")
BUILD = "import torchvision; network = torchvision.models.resnet152()\n"
# each prints the number of parameters last
SCRIPTS = {
    "torchinfo": BUILD + "import torchinfo\n"
    "found = torchinfo.summary(network, (1, 3, 224, 224)); print(found.total_params)",
    "fvcore": BUILD + "import torch, fvcore.nn\n"
    "flops = fvcore.nn.FlopCountAnalysis(network.eval(), torch.zeros(1, 3, 224, 224))\n"
    "print(fvcore.nn.flop_count_table(flops)); print(fvcore.nn.parameter_count(network)[''])",
    "ptflops": BUILD + "import ptflops\n"
    "found = ptflops.get_model_complexity_info(network, (3, 224, 224), as_strings=False)\n"
    "print(found[1])",
}
IMPORT = """
import torch
from time import perf_counter
start = perf_counter()
import classicnets
print(perf_counter() - start)
"""


def python(*args: str) -> str:
    """Runs Python with these arguments and returns its standard output."""
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def seconds(*args: str) -> float:
    start = perf_counter()
    python(*args)
    return perf_counter() - start


def script(name: str) -> Contender:
    for package in ("torchvision", name):
        peer(package)
    args = ("-c", SCRIPTS[name])
    return Contender(partial(seconds, *args), lambda: [float(python(*args).split()[-1])])


def show() -> Contender:
    def parameters() -> list[float]:
        return [json.loads(python(*SHOW, "--json"))["totals"]["params"]]

    return Contender(partial(seconds, *SHOW), parameters)


@cache
def trained() -> TemporaryDirectory[str]:
    """A folder with a run of LeNet-5 and an image for it; it is removed when this process ends."""
    folder = TemporaryDirectory()
    cn.train("lenet5", recipe="fast", epochs=1, out=f"{folder.name}/lenet5").finish()
    Image.new("L", (28, 28), 40).save(f"{folder.name}/image.png")
    return folder


def on_a_run(verb: str, *files: str) -> Contender:
    """A verb with files of that folder."""
    folder = trained().name
    return start("-m", "classicnets", verb, *(f"{folder}/{file}" for file in files))


def start(*args: str) -> Contender:
    return Contender(partial(seconds, *args), lambda: [0.0])


def import_time() -> Contender:
    return Contender(lambda: float(python("-c", IMPORT)), lambda: [0.0])


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    tools = {name: partial(script, name) for name in SCRIPTS}
    starts = {
        "python, no imports": partial(start, "-c", "pass"),
        "import torch": partial(start, "-c", "import torch"),
        "classicnets --help": partial(start, *HELP),
        "import classicnets, after torch": import_time,
    }
    on_runs = {
        "classicnets predict, one image": partial(on_a_run, "predict", "lenet5", "image.png"),
        "classicnets evaluate, 359 images": partial(on_a_run, "evaluate", "lenet5"),
        "classicnets compare, one run": partial(on_a_run, "compare", "lenet5"),
    }
    limits = (
        Target("classicnets --help", 1.0, 0.25),
        Target("import classicnets, after torch", 1.0, 0.020),
        *(Target(name, 1 / 1.3, "import torch") for name in on_runs),
    )
    twice = (Target("classicnets", 2.0, "torchinfo"),)
    title = "ResNet-152 layer by layer: the whole command; other tools in a script that builds it"
    return (
        Benchmark("show", title, (Case("resnet152", tools | {"classicnets": show}, twice),)),
        Benchmark(
            "start",
            "Startup time",
            (
                Case(
                    "start",
                    starts | on_runs,
                    limits,
                    not_compared="each contender does something else",
                ),
            ),
        ),
    )
