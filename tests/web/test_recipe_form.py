"""The recipe of a training as a form: its values, their sources, and what is refused."""

from dataclasses import fields, replace

import pytest

import classicnets as cn
from classicnets.api.overview import overview
from classicnets.api.recipe_form import RecipeForm, fetch_weights, published_weights
from classicnets.training.recipe.recipe import ABOUT_PAPER, LARGEST, Recipe


@pytest.fixture(scope="module")
def form() -> RecipeForm:
    return RecipeForm.of("vgg_d", "digits", "paper")


def test_the_values_are_the_papers_and_each_says_where_it_stands(form):
    values = {value.field: value for value in form.values({})}
    assert values["batch"].text == "256"  # section 3.1: "The batch size was set to 256"
    assert "3.1" in values["batch"].source
    assert (values["patience"].text, values["patience"].source) == ("", "")
    assert "cite" not in values


def test_a_change_is_checked_as_train_checks_it(form):
    assert form.fault("batch", "64") == ""
    assert "batch" in form.fault("batch", "many")
    assert "no 'batchs'" in form.fault("batchs", "1")
    assert form.check({"patience": "5", "lr": "0.02"}).patience == 5


def test_layers_held_back_without_weights_are_refused(form):
    with pytest.raises(ValueError, match="without weights to start from"):
        form.check({"freeze": "conv3_1"})
    assert form.check({"freeze": "conv3_1"}, start=True).freeze == "conv3_1"


@pytest.mark.parametrize("name", ["lr", "seed", *LARGEST])
def test_no_number_may_be_negative_and_no_count_a_fraction_or_nothing(form, name):
    assert form.fault(name, "200") == "" or name in ("side", "crop")
    said = form.fault(name, "-3")
    assert said.startswith(f"{name} must be ")
    assert said.endswith("-3")
    assert (name in form.fault(name, "2.5")) == (name != "lr")
    if name in LARGEST:
        assert "of at least 1, not 0" in form.fault(name, "0")


@pytest.fixture(scope="module")
def photos(write_folder, tmp_path_factory):
    return str(write_folder(tmp_path_factory.mktemp("few") / "photos"))


@pytest.fixture(scope="module")
def begun(photos, tmp_path_factory):
    """A run on the same images, whose weights another may start from."""
    out = tmp_path_factory.mktemp("begun") / "run"
    cn.train("resnet20", photos, "fast", 1, out).finish()
    return out


@pytest.mark.parametrize(
    ("network", "recipe", "overrides", "started"),
    [
        ("lenet5", None, {}, False),
        ("lenet5", "fast", {}, False),
        ("resnet20", None, {}, False),
        ("resnet20", None, {"augment": "()", "batch": "4"}, False),
        ("resnet20", "fast", {"epochs": "7", "lr": "0.01"}, False),
        ("resnet20", "fine-tune", {}, True),
    ],
)
def test_what_the_page_shows_for_few_images_is_what_train_takes(
    photos, begun, tmp_path, network, recipe, overrides, started
):
    start = begun if started else None
    form = RecipeForm.of(network, photos, recipe, start)
    form = replace(form, splits=overview(photos).splits)
    training = cn.train(
        network, photos, recipe, out=tmp_path / "run", overrides=overrides, init_from=start
    )
    shown, adapted = form.trained(overrides)
    names = [field.name for field in fields(Recipe) if field.name not in ABOUT_PAPER]
    taken = training.recipe
    assert {n: getattr(shown, n) for n in names} == {n: getattr(taken, n) for n in names}
    assert adapted == training.adapted
    assert adapted
    values = {value.field: value for value in form.values(overrides)}
    for name in adapted.keys() - set(ABOUT_PAPER):
        assert values[name].adapted
        assert adapted[name] in values[name].source


def test_the_papers_value_stands_beside_the_one_for_few_images(photos):
    form = replace(RecipeForm.of("resnet20", photos), splits=overview(photos).splits)
    values = {value.field: value for value in form.values({})}
    # section 4.2: "a mini-batch size of 128"; docs/training.md: at least 16
    assert (values["batch"].text, values["batch"].number) == ("16", "16")
    assert "the recipe has 128, section 4.2" in values["batch"].source
    # the paper's 0.1 in proportion, 16 in place of 128
    assert values["lr"].number == "0.0125"


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
