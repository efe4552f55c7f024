"""The shapes in the types of calls are checked while the tests run, wherever there are any."""

from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

from classicnets.evaluation.metrics import evaluate_scores

SRC = Path(__file__).parents[2] / "src"


def test_a_tensor_of_another_shape_is_refused():
    with pytest.raises(TypeCheckError):
        evaluate_scores(torch.zeros(2, 3, 4), torch.zeros(2).long(), ("a", "b", "c"), "single", 1.0)


def test_lengths_that_differ_between_arguments_are_refused():
    with pytest.raises(TypeCheckError):
        evaluate_scores(torch.zeros(2, 3), torch.zeros(4).long(), ("a", "b", "c"), "single", 1.0)


def test_every_module_whose_types_have_shapes_is_checked(pytestconfig):
    packages = pytestconfig.getoption("--jaxtyping-packages").split(",")
    checked = tuple(f"{name}." for name in packages)
    files = [f for f in SRC.rglob("*.py") if "from jaxtyping import" in f.read_text("utf-8")]
    names = [".".join(f.relative_to(SRC).with_suffix("").parts) + "." for f in files]
    assert len(names) > 30
    assert [name for name in names if not name.startswith(checked)] == []
