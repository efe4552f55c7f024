"""Code of one's own: it runs when the user names it, and never because a run directory does."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.data.synthetic import shapes

CODE = """
from dataclasses import replace
from pathlib import Path
from torch import nn
from classicnets.recipes.fast import fast
from classicnets.training.recipe.schedules import Constant

Path(__file__).with_suffix(".ran").touch()

def net(classes, channels):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)
    )

def wide(classes, channels):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes)
    )

class Rate(Constant):
    pass

MINE = replace(fast(32), epochs=1, batch=64, lr=Rate(0.01))
"""


@dataclass
class Own:
    """A run of a network and a recipe from one file, which has moved since."""

    run: Path
    recorded: Path
    file: Path
    image: Path

    @property
    def ran(self) -> bool:
        return self.file.with_suffix(".ran").exists() or self.recorded.with_suffix(".ran").exists()

    def words(self, verb: str) -> list[str]:
        run = str(self.run)
        return {
            "predict": ["predict", run, str(self.image)],
            "evaluate": ["evaluate", run],
            "see": ["see", run, str(self.image), "--what", "filters"],
            "compare": ["compare", run],
            "resume": ["train", "--resume", run],
            "serve": ["serve", run],
            "export": ["export", run, "--out", str(self.image.with_suffix(".onnx"))],
        }[verb]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("own")
    (root / "mine.py").write_text(CODE)
    name = f"{root}/mine.py"
    cn.train(f"{name}:net", "digits", recipe=f"{name}:MINE", out=root / "run").finish()
    return root


@pytest.fixture
def own(trained, tmp_path) -> Own:
    shutil.copytree(trained / "run", tmp_path / "run")
    (trained / "mine.ran").unlink(missing_ok=True)
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    Image.new("L", (28, 28), 40).save(tmp_path / "a.png")
    return Own(tmp_path / "run", trained / "mine.py", file, tmp_path / "a.png")


@pytest.mark.parametrize("verb", ["predict", "evaluate", "see", "resume", "serve", "export"])
def test_the_code_that_a_run_names_is_not_run_and_the_option_that_names_it_is_printed(
    run_cli, own, verb
):
    status, out, err = run_cli(*own.words(verb))
    assert (status, out) == (2, "")
    option, value = ("--recipe", "MINE") if verb == "resume" else ("--network", "net")
    assert f"whose code runs only when you name it: add {option} {own.recorded}:{value}\n" in err
    assert len(err.splitlines()) == 1
    assert not own.ran


def test_the_page_of_a_run_does_not_run_its_code(own):
    from classicnets.web.pages.opened import opened

    with pytest.raises(ValueError, match="whose code runs only when you name it"):
        opened(own.run)
    assert not own.ran


def test_comparing_needs_no_code(run_cli, own):
    assert run_cli(*own.words("compare")).status == 0
    assert not own.ran


@pytest.mark.parametrize("verb", ["predict", "evaluate", "see", "resume"])
def test_the_code_that_the_user_names_is_run_wherever_it_is_now(run_cli, own, verb):
    words = [*own.words(verb), "--network", f"{own.file}:net"]
    words += ["--recipe", f"{own.file}:MINE"] * (verb == "resume")
    status, _, err = run_cli(*words)
    assert (status, err) == (0, "")
    assert own.file.with_suffix(".ran").exists()
    assert not own.recorded.with_suffix(".ran").exists()


@pytest.mark.parametrize("verb", ["predict", "evaluate", "see", "resume"])
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("wide", "0.weight is (4, 3, 3, 3) there and (8, 3, 3, 3) here"),
        ("gone", "has no builder 'gone'"),
        ("MINE", "has no builder 'MINE'"),
    ],
)
def test_code_that_does_not_fit_the_run_is_refused_in_a_sentence(
    run_cli, own, verb, name, sentence
):
    words = [*own.words(verb), "--network", f"{own.file}:{name}"]
    words += ["--recipe", f"{own.file}:MINE"] * (verb == "resume")
    status, _, err = run_cli(*words)
    assert status == 2
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("name", ["{0}:net", "./{0}:net", "net.py", "os:system", "a.py:b.py:c"])
def test_no_spelling_of_a_name_in_a_run_runs_anything(own, name):
    content = json.loads((own.run / "run.json").read_text())
    content["network"] = name.format(own.file)
    (own.run / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="runs only when you name it"):
        cn.load(own.run)
    assert not own.ran


def test_the_option_that_is_offered_can_be_pasted_into_a_shell_or_a_call(run_cli, own):
    content = json.loads((own.run / "run.json").read_text())
    content["network"] = "x.py:net; rm -r ~"
    (own.run / "run.json").write_text(json.dumps(content))
    printed = run_cli("evaluate", own.run).err
    assert printed.endswith("add --network 'x.py:net; rm -r ~'\n")
    with pytest.raises(ValueError, match=re.escape("add network='x.py:net; rm -r ~'")):
        cn.load(own.run)


def test_python_takes_a_module_a_builder_or_a_name(own):
    def build(classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)
        )

    networks = [cn.load(own.run, given) for given in (build(10), build, f"{own.file}:net")]
    states = [str(network.state_dict()) for network in networks]
    assert states[0] == states[1] == states[2]


def test_runs_of_several_networks_are_averaged_when_each_is_named(own, run_cli, trained):
    out = own.run.with_name("wide")
    recorded = f"{own.file}:wide"
    cn.train(recorded, "digits", recipe=f"{own.file}:MINE", epochs=1, out=out).finish()
    each = ["--network", f"{own.file}:net", "--network", recorded]
    status, printed, err = run_cli("evaluate", own.run, out, *each, "--json")
    assert (status, err) == (0, "")
    assert json.loads(printed)["views"] == 2
    words = ("evaluate", own.run, out, out.with_name("x"), *each)
    shutil.copytree(out, out.with_name("x"))
    assert "2 networks for 3 runs; give one for all, or one for each run" in run_cli(*words).err


def test_a_recipe_is_named_only_for_a_run_that_needs_it(run_cli, tmp_path):
    out = tmp_path / "run"
    cn.train("lenet5", shapes(60, channels=1), "fast", epochs=1, out=out)
    done = run_cli("train", "--resume", out, "--recipe", "fast")
    assert done.status == 2
    assert done.err == (
        f"classicnets: the recipe of {out} is kept and has no part of your own; "
        "leave out --recipe fast\n"
    )
    done = run_cli("train", "--network", "mine.py:net")
    assert done.err == "classicnets: --network goes with --resume; write `train mine.py:net`\n"
