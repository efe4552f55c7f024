"""The recipe of a training as a form: its values, their sources, and what is refused."""

import pytest

from classicnets.api.recipe_form import RecipeForm, fetch_weights, published_weights


@pytest.fixture(scope="module")
def form() -> RecipeForm:
    return RecipeForm.of("vgg_d", "digits", "paper")


def test_the_values_are_the_papers_and_each_says_where_it_stands(form):
    values = {value.field: value for value in form.values}
    assert values["batch"].text == "256"  # section 3.1: "The batch size was set to 256"
    assert "3.1" in values["batch"].source
    assert (values["patience"].text, values["patience"].source) == ("", "")
    assert "cite" not in values


def test_a_change_is_checked_as_train_checks_it(form):
    assert form.fault("batch", "64") == ""
    assert "batch" in form.fault("batch", "many")
    assert "no 'batchs'" in form.fault("batchs", "1")
    assert form.check({"patience": "5"}, {"lr": "0.02"}).patience == 5


def test_a_value_given_twice_and_layers_held_back_without_weights_are_refused(form):
    with pytest.raises(ValueError, match="batch is given twice; give one"):
        form.check({"batch": "64"}, {"batch_size": "32"})
    with pytest.raises(ValueError, match=r"epochs must be a whole number, not 2\.5"):
        form.check({}, {"epochs": "2.5"})
    with pytest.raises(ValueError, match="without weights to start from"):
        form.check({"freeze": "conv3_1"}, {})
    assert form.check({"freeze": "conv3_1"}, {}, start=True).freeze == "conv3_1"


def test_published_weights_are_offered_and_what_hinders_a_download_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path))
    assert [(one.source, one.kept) for one in published_weights("resnet18")] == [
        ("torchvision", False)
    ]
    assert published_weights("lenet5") == ()
    assert RecipeForm.of("resnet18", "digits", "fine-tune", "torchvision").recipe.freeze is None
    monkeypatch.setattr("socket.getaddrinfo", _no_network)
    with pytest.raises(OSError, match=r"resnet18-.*\.pth"):
        fetch_weights("torchvision", "resnet18")


def _no_network(*args, **options):
    raise OSError("no network")
