"""Adapts a paper's recipe to other data than the paper's, by stated rules."""

from dataclasses import replace

from classicnets.data.augment import ColourNoise, HorizontalFlip
from classicnets.data.images import Splits
from classicnets.training.recipe import Gaussian, Recipe

NOT_MIRRORED = (
    "digits",
    "mnist",
    "kmnist",
    "svhn",
)  # mirrored, their images would mean something else
FEW = 50  # classes; with fewer, AlexNet's biases of 1 make the last layer overshoot
AS_MANY = 0.8  # fraction of the paper's images from which a length in steps stays as it is


def adapt(recipe: Recipe, data: Splits) -> tuple[Recipe, dict[str, str]]:
    """The recipe for these data, and field -> why it differs from the one given.

    A length in steps becomes as many epochs as in the paper, unless there are nearly as many
    images; a batch has at most all images; biases of 1 become 0.1 where there are few classes;
    digits are not mirrored; grey images get no colour noise. In any case the last layer follows the
    classes, and images are resized to the recipe's size.
    """
    reasons: dict[str, str] = {}
    count = len(data.train)
    if recipe.paper_images and count != recipe.paper_images:
        reasons["paper_images"] = (
            f"{count:,} training images, where the paper had {recipe.paper_images:,}; "
            f"{len(data.validation):,} validation images select the best epoch"
        )
    if recipe.steps and recipe.paper_images and count < AS_MANY * recipe.paper_images:
        epochs = max(1, round(recipe.steps * recipe.batch / recipe.paper_images))
        reasons["epochs"] = (
            f"{recipe.steps:,} steps are {epochs} epochs over the paper's "
            f"{recipe.paper_images:,} images"
        )
        recipe = replace(recipe, epochs=epochs, steps=None)
    if recipe.batch > count:
        reasons["batch"] = f"there are {count} images for training, not {recipe.batch}"
        recipe = replace(recipe, batch=count)
    init = recipe.init
    if isinstance(init, Gaussian) and init.bias_layers and len(data.classes) < FEW:
        reasons["init"] = (
            f"with {len(data.classes)} classes the last layer overshoots above biases of "
            f"{init.bias:g}; Caffe's replication has 0.1"
        )
        recipe = replace(recipe, init=replace(init, bias=0.1))
    origin = data.origin or data.name
    unfit = {
        HorizontalFlip: f"{origin} are not mirrored" if origin.lower() in NOT_MIRRORED else "",
        ColourNoise: "grey images have no colours" if data.grey else "",
    }
    kept = tuple(part for part in recipe.augment if not unfit.get(type(part)))
    if kept != recipe.augment:
        dropped = [unfit[type(part)] for part in recipe.augment if part not in kept]
        reasons["augment"] = ", and ".join(dropped)
        recipe = replace(recipe, augment=kept)
    return recipe, reasons
