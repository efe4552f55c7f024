"""What somebody waits for who types a command: whole processes, from start to end."""

import json
import subprocess
import sys
from functools import partial
from time import perf_counter

from harness import Bar, Contest, Ready, Work, peer

SHOW = ("-m", "classicnets", "show", "resnet152")
HELP = ("-m", "classicnets", "--help")
ZOO = "import torchvision; network = torchvision.models.resnet152()\n"
# each prints the parameters last
SCRIPTS = {
    "torchinfo": ZOO + "import torchinfo\n"
    "found = torchinfo.summary(network, (1, 3, 224, 224)); print(found.total_params)",
    "fvcore": ZOO + "import torch, fvcore.nn\n"
    "flops = fvcore.nn.FlopCountAnalysis(network.eval(), torch.zeros(1, 3, 224, 224))\n"
    "print(fvcore.nn.flop_count_table(flops)); print(fvcore.nn.parameter_count(network)[''])",
    "ptflops": ZOO + "import ptflops\n"
    "found = ptflops.get_model_complexity_info(network, (3, 224, 224), as_strings=False)\n"
    "print(found[1])",
}
IMPORT = """
import torch
from time import perf_counter
began = perf_counter()
import classicnets
print(perf_counter() - began)
"""


def said(*words: str) -> str:
    """What Python prints for these arguments."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def seconds(*words: str) -> float:
    began = perf_counter()
    said(*words)
    return perf_counter() - began


def script(name: str) -> Ready:
    for package in ("torchvision", name):
        peer(package)
    words = ("-c", SCRIPTS[name])
    return Ready(partial(seconds, *words), lambda: [float(said(*words).split()[-1])])


def show() -> Ready:
    def parameters() -> list[float]:
        return [json.loads(said(*SHOW, "--json"))["totals"]["params"]]

    return Ready(partial(seconds, *SHOW), parameters)


def start(*words: str) -> Ready:
    return Ready(partial(seconds, *words), lambda: [0.0])


def added_by_import() -> Ready:
    return Ready(lambda: float(said("-c", IMPORT)), lambda: [0.0])


def contests(quick: bool) -> tuple[Contest, ...]:
    tools = {name: partial(script, name) for name in SCRIPTS}
    differ = "they are no two ways to one thing"
    starts = {
        "python, nothing imported": partial(start, "-c", "pass"),
        "import torch": partial(start, "-c", "import torch"),
        "classicnets --help": partial(start, *HELP),
        "import classicnets, after torch": added_by_import,
    }
    limits = (
        Bar("classicnets --help", 1.0, 0.25),
        Bar("import classicnets, after torch", 1.0, 0.020),
    )
    half = (Bar("classicnets", 2.0, "torchinfo"),)
    about = "ResNet-152 layer by layer, the whole command; theirs in a script that builds it"
    return (
        Contest("show", about, (Work("resnet152", tools | {"classicnets": show}, half),)),
        Contest(
            "start",
            "The time until anything happens",
            (Work("start", starts, limits, differ=differ),),
        ),
    )
