"""The configuration of a run: what was trained on what, and how."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classicnets.data.images import Splits
from classicnets.data.scaling import Scaling
from classicnets.training.execution.execution import Execution
from classicnets.training.recipe.recipe import CustomPart, Fitted, Recipe
from classicnets.training.recipe.serialization import to_json

# what must not change, beside the recipe, when a run is resumed; `execution` may lose its graphs
FIXED = ("input", "side", "scaling", "seed", "execution")


@dataclass(frozen=True)
class RunConfig:
    """All that is needed to use a run and to resume it.

    `side` is what the shorter side of an image is resized to before it is cropped to `input`
    (c, h, w); `images` counts those for training, validation and test, `digest` is as in `Splits`.
    `differences` has field -> (value in the recipe, value in the paper's). `scaling` and `augment`
    are the recipe's, with their statistics of the training images.
    """

    network: str
    input: tuple[int, int, int]
    side: int
    classes: tuple[str, ...]
    data: str
    images: tuple[int, int, int]
    digest: str
    recipe: Recipe
    differences: Mapping[str, tuple[int | str, int | str]]
    scaling: Scaling
    augment: tuple[Fitted | CustomPart, ...]
    execution: Execution
    seed: int

    @classmethod
    def fit(
        cls,
        recipe: Recipe,
        data: Splits,
        execution: Execution,
        seed: int = 0,
        network: str = "",
        differences: Mapping[str, tuple[int | str, int | str]] | None = None,
    ) -> "RunConfig":
        """The configuration for these data, of which scaling and augmentation take statistics."""
        return cls(
            network=network,
            input=(data.channels, recipe.crop, recipe.crop),
            side=recipe.side,
            classes=data.classes,
            data=data.name,
            images=data.sizes,
            digest=data.digest,
            recipe=recipe,
            differences=differences or {},
            scaling=recipe.pixels.fit(data.train, recipe.side, recipe.crop),
            augment=tuple(part.fit(data.train) for part in recipe.augment),
            execution=execution,
            seed=seed,
        )

    def fixed(self) -> dict[str, Any]:
        """What must be the same when training resumes, field by field, as JSON."""
        told = to_json(self)
        recipe = {f"recipe.{name}": part for name, part in told["recipe"].items()}
        return recipe | {name: told[name] for name in FIXED}
