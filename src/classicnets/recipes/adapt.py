"""How a paper's recipe is fitted to data that are not the paper's: stated rules, and no others."""

from dataclasses import replace

from classicnets.data.augment import ColourNoise, HorizontalFlip
from classicnets.data.images import Splits
from classicnets.training.recipe.init import Gaussian
from classicnets.training.recipe.recipe import Recipe

NOT_MIRRORED = ("digits", "mnist", "kmnist", "svhn")  # sets whose pictures mean something else then
FEW = 50  # classes; with fewer AlexNet's biases of 1 make the last layer's updates overshoot
AS_MANY = 0.8  # of the paper's pictures, and the data may be taken for the paper's


def adapt(recipe: Recipe, data: Splits) -> tuple[Recipe, dict[str, str]]:
    """The recipe for these data, and field -> why it is not the one that was given.

    A length in steps becomes as many passes as the paper's were, unless there are nearly as many
    pictures; a batch is at most all pictures; biases of 1 become 0.1 where there are few classes;
    digits are not mirrored; grey pictures get no noise of colours. The last layer follows the
    classes, and pictures are brought to the recipe's size, in any case.
    """
    reasons: dict[str, str] = {}
    count = len(data.train)
    if recipe.paper_images and count != recipe.paper_images:
        reasons["paper_images"] = (
            f"{count:,} for training, where the paper had {recipe.paper_images:,}; "
            f"{len(data.validation):,} choose the best pass"
        )
    if recipe.steps and recipe.paper_images and count < AS_MANY * recipe.paper_images:
        passes = max(1, round(recipe.steps * recipe.batch / recipe.paper_images))
        reasons["epochs"] = (
            f"{recipe.steps:,} steps are {passes} epochs over the paper's "
            f"{recipe.paper_images:,} images"
        )
        recipe = replace(recipe, epochs=passes, steps=None)
    if recipe.batch > count:
        reasons["batch"] = f"there are {count} pictures for training, not {recipe.batch}"
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
        ColourNoise: "grey pictures have no colours" if data.grey else "",
    }
    kept = tuple(part for part in recipe.augment if not unfit.get(type(part)))
    if kept != recipe.augment:
        dropped = [unfit[type(part)] for part in recipe.augment if part not in kept]
        reasons["augment"] = ", and ".join(dropped)
        recipe = replace(recipe, augment=kept)
    return recipe, reasons
