"""The network "at initialisation" that `see` shows is the one that training began with."""

import copy

import pytest
import torch

import classicnets as cn
from classicnets.api.inspection import Inspection
from classicnets.api.runs import build_initial
from classicnets.training.run.directory import open_run
from classicnets.visualize.health import health

TRAININGS = {
    "lenet5": {"network": "lenet5", "overrides": {"batch": "256"}},
    "batch normalisation": {"network": "resnet20", "overrides": {"batch": "512"}},
    "values as built": {"network": "lenet5", "overrides": {"batch": "256", "init": "AsBuilt()"}},
}


@pytest.mark.parametrize("name", TRAININGS)
def test_the_values_at_initialisation_are_those_that_training_began_with(tmp_path, name):
    training = cn.train(data="digits", epochs=1, seed=5, out=tmp_path / "run", **TRAININGS[name])
    began = copy.deepcopy(training.network)
    training.finish()
    again = build_initial(open_run(tmp_path / "run"), None)
    assert again is not None
    for key, value in began.state_dict().items():
        assert torch.equal(value.cpu(), again.state_dict()[key]), key


def test_the_curve_at_initialisation_is_that_of_these_values(tmp_path):
    training = cn.train(
        **TRAININGS["lenet5"], data="digits", epochs=1, seed=5, out=tmp_path / "run"
    )
    began = copy.deepcopy(training.network)
    training.finish()
    run = open_run(tmp_path / "run")
    inspection = Inspection(run, training.network, None, (), (), None, limit=64)
    images = (inspection.test.inputs, inspection.test.labels)
    initial = inspection.initial_network()
    assert initial is not None
    curve = health(initial, *images)
    assert curve == health(began, *images)
    assert [layer.weight for layer in curve] != [
        layer.weight for layer in health(training.network, *images)
    ]


def test_a_module_of_your_own_has_no_known_initial_values(tmp_path):
    training = cn.train("lenet5", "digits", epochs=1, out=tmp_path / "run")
    training.save()
    run = open_run(tmp_path / "run")
    inspection = Inspection(run, training.network, training.network, (), (), None, limit=64)
    assert inspection.initial_network() is None
