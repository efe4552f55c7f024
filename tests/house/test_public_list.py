"""The public vocabulary is written out, complete, sorted, and costs nothing until used."""

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import classicnets

MODELS = Path(classicnets.__file__).parent / "models"
PAPERS = sorted(file.stem for file in MODELS.glob("[!_]*.py"))


def test_it_is_sorted_and_has_nothing_twice():
    assert list(classicnets.__all__) == sorted(set(classicnets.__all__))


def test_every_name_is_there():
    missing = [name for name in classicnets.__all__ if not hasattr(classicnets, name)]
    assert missing == []


def test_nothing_else_is_there():
    own = {name for name, value in vars(classicnets).items()
           if not name.startswith("_") and not inspect.ismodule(value)}  # fmt: skip
    assert own - {"TYPE_CHECKING", "import_module"} - set(classicnets.__all__) == set()


def test_a_name_is_the_object_of_its_module():
    for name in classicnets.__all__:
        thing = getattr(classicnets, name)
        assert getattr(import_module(thing.__module__), name) is thing


def _builders(paper: str) -> set[str]:
    """Public functions of a model file that make a network for any number of classes."""
    module = import_module(f"classicnets.models.{paper}")
    return {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
        if {"classes", "channels"} <= set(inspect.signature(value).parameters)
    }


@pytest.mark.parametrize("paper", PAPERS)
def test_every_builder_of_a_model_file_is_public(paper):
    assert _builders(paper)
    assert _builders(paper) - set(classicnets.__all__) == set()


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(classicnets, "densenet")


def _modules_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    assert (
        _modules_after("import classicnets") & {"torch", "numpy", "sklearn", "matplotlib"} == set()
    )


def test_help_does_not_wait_for_torch():
    assert "torch" not in _modules_after("import classicnets.cli")


def test_the_reference_has_every_name_but_those_of_networks():
    page = (Path(__file__).parents[2] / "docs/reference.md").read_text(encoding="utf-8")
    described = {line.removeprefix("### cn.") for line in page.splitlines() if "### cn." in line}
    networks = set(classicnets._BUILDERS)
    assert described == set(classicnets.__all__) - networks - {"names", "Report"}
    assert "`cn.names`" in page
    assert "Returns `Report`" in page
