"""Adding a network of a new paper touches five files: tried with Network in Network, in a copy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MODEL = '''
"""Network in Network: Lin, Chen, Yan, ICLR 2014, arXiv:1312.4400. Figure 2, CIFAR-10.

Where the paper leaves a choice: it prints no widths; these are those of the authors' Caffe model.
"""

from torch import nn

from classicnets.layers.wiring import Network


def nin(classes: int = 10, channels: int = 3) -> Network:
    """Images of 32x32 -> scores. 966,986 parameters."""
    return Network(
        conv1=nn.Conv2d(channels, 192, 5, padding=2),  # 192@32x32
        relu1=nn.ReLU(),
        cccp1=nn.Conv2d(192, 160, 1),  # 160@32x32
        relu_cccp1=nn.ReLU(),
        cccp2=nn.Conv2d(160, 96, 1),  # 96@32x32
        relu_cccp2=nn.ReLU(),
        pool1=nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 96@16x16
        drop1=nn.Dropout(0.5),
        conv2=nn.Conv2d(96, 192, 5, padding=2),  # 192@16x16
        relu2=nn.ReLU(),
        cccp3=nn.Conv2d(192, 192, 1),  # 192@16x16
        relu_cccp3=nn.ReLU(),
        cccp4=nn.Conv2d(192, 192, 1),  # 192@16x16
        relu_cccp4=nn.ReLU(),
        pool2=nn.AvgPool2d(3, stride=2, ceil_mode=True),  # 192@8x8
        drop2=nn.Dropout(0.5),
        conv3=nn.Conv2d(192, 192, 3, padding=1),  # 192@8x8
        relu3=nn.ReLU(),
        cccp5=nn.Conv2d(192, 192, 1),  # 192@8x8
        relu_cccp5=nn.ReLU(),
        cccp6=nn.Conv2d(192, classes, 1),  # 10@8x8
        relu_cccp6=nn.ReLU(),
        average=nn.AdaptiveAvgPool2d(1),  # 10@1x1
        flatten=nn.Flatten(),  # 10
    )
'''

RECIPE = '''
"""Network in Network: arXiv:1312.4400, section 4.1."""

from classicnets.data.scaling import SubtractMean
from classicnets.training.recipe import SGD, Gaussian, Recipe, ReduceOnPlateau, by_place

CIFAR = Recipe(
    cite="arXiv:1312.4400, section 4.1",
    paper_images=50_000,
    epochs=230,
    batch=128,
    optimizer=SGD(momentum=0.9, weight_decay=1e-4),
    lr=ReduceOnPlateau(0.1),
    init=Gaussian(0.05),
    side=32,
    crop=32,
    pixels=SubtractMean(),
    cited=by_place({"section 4.1": "paper_images batch loss side crop crop_sampler protocol"}),
    assumed={
        name: "not given; taken from the authors' Caffe model"
        for name in ("epochs", "optimizer", "lr", "init", "pixels")
    },
)
'''

TEST = '''
"""Network in Network has the parameters of the authors' model."""

from classicnets.models.nin import nin


def test_the_parameters_are_those_of_the_authors_model(on_meta, parameters):
    assert parameters(on_meta(nin)) == 966_986
'''

CATALOG = {
    "import alexnet, googlenet, lenet, resnet, vgg, zfnet": (
        "import alexnet, googlenet, lenet, nin, resnet, vgg, zfnet"
    ),
    "    resnet as resnet_recipe,\n": "    nin as nin_recipe,\n    resnet as resnet_recipe,\n",
    "_A = (alexnet_recipe": (
        'NIN = _paper(nin, "Network in network", "Lin, Chen, Yan", 2013, "arXiv:1312.4400")\n\n'
        "_A = (alexnet_recipe"
    ),
    ")}\n# fmt: on": (
        '    Entry("nin", nin.nin, nin_recipe.CIFAR, NIN, (3, 32, 32),\n'
        '        "", "10.41 (CIFAR-10)", 966_986, 222_486_528),\n'
        ")}\n# fmt: on"
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the project with the five files of a seventh network, and what is generated."""
    root = tmp_path_factory.mktemp("project")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("src", "docs", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in (
        "README.md",
        "README.zh-CN.md",
        "pyproject.toml",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ):
        shutil.copy(ROOT / name, root)
    files = {
        "src/classicnets/models/nin.py": MODEL,
        "src/classicnets/recipes/nin.py": RECIPE,
        "docs/nin.md": "# NiN\n\nThe page of the paper.\n",
        "tests/papers/test_nin.py": TEST,
    }
    for name, text in files.items():
        (root / name).write_text(text.lstrip())
    catalog = root / "src/classicnets/catalog.py"
    text = catalog.read_text()
    for old, new in CATALOG.items():
        assert old in text, old
        text = text.replace(old, new)
    catalog.write_text(text)
    assert _python(root, "docs/generate.py").returncode == 0
    return root


def _python(root: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


COMMANDS = """
import sys
import classicnets as cn
from classicnets.cli import main

for words in ("show nin", "list nin", "recipe nin",
              "train nin --data synthetic --epochs 1 --out runs/nin"):
    print("$", words)
    sys.argv = ["classicnets", *words.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
print("$ cn.nin")
print(cn.nin().conv1.out_channels)
"""


@pytest.mark.slow
def test_a_new_network_is_shown_listed_trained_and_public(copy):
    done = _python(copy, "-c", COMMANDS)
    assert done.returncode == 0, done.stderr
    _, shown, listed, recipe, _, public = f"\n{done.stdout}".split("\n$ ")
    assert "966,986" in shown
    assert "Lin et al., arXiv:1312.4400" in " ".join(listed.split())
    assert "section 4.1" in recipe
    assert (copy / "runs/nin/weights.safetensors").exists()
    assert public == "cn.nin\n192\n"


@pytest.mark.slow
def test_a_new_network_gets_its_rows_and_passes_the_tests_of_every_network(copy):
    for readme in ("README.md", "README.zh-CN.md"):
        rows = (copy / readme).read_text(encoding="utf-8").splitlines()
        assert "| `nin` | - | 966,986 | 0.222 G | 10.41 (CIFAR-10) |" in rows
    assert "[NiN](nin.md)" in (copy / "docs/index.md").read_text(encoding="utf-8")
    tests = ("test_order.py", "test_public_list.py", "test_shape_comments.py")
    names = [f"tests/house/{name}" for name in tests]
    # the budget is about the package as it is, not with another network
    select = ("-k", f"nin or (not budget and ({' or '.join(tests)}))")
    options = ("-q", "-rA", "-p", "no:cacheprovider")
    names += ["tests/papers/test_nin.py", "tests/behaviour/test_battery.py"]
    done = _python(copy, "-m", "pytest", *select, *options, *names)
    assert done.returncode == 0, done.stdout[-3000:]
    for name in names:
        assert f"PASSED {name}" in done.stdout
