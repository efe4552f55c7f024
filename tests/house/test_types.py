"""The types of calls are checked while the tests run, with and without shapes."""

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from classicnets.evaluation.metrics import evaluate_scores
from classicnets.support.units import format_count


def test_a_tensor_of_another_shape_is_refused():
    with pytest.raises(TypeCheckError):
        evaluate_scores(torch.zeros(2, 3, 4), torch.zeros(2).long(), ("a", "b", "c"), "single", 1.0)


def test_lengths_that_differ_between_arguments_are_refused():
    with pytest.raises(TypeCheckError):
        evaluate_scores(torch.zeros(2, 3), torch.zeros(4).long(), ("a", "b", "c"), "single", 1.0)


def test_a_value_of_another_type_is_refused():
    with pytest.raises(BeartypeCallHintViolation):
        format_count("many")  # pyright: ignore
