"""The configuration of a run: what was trained on what, and how."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from classicnets.data.image_file import MAX_PIXELS, max_pixels
from classicnets.data.images import Splits
from classicnets.data.scaling import Scaling
from classicnets.training.execution import distributed
from classicnets.training.execution.batches import batch_sizes
from classicnets.training.execution.execution import Execution
from classicnets.training.recipe.balance import class_weights
from classicnets.training.recipe.recipe import CustomPart, Fitted, Recipe
from classicnets.training.recipe.serialization import from_json, to_json

MOST_CHANNELS = 2**16

# what must not change, beside the recipe, when a run is resumed; `execution` may lose its graphs
FIXED = ("input", "side", "scaling", "class_weights", "seed", "execution")
LENGTH = ("epochs", "steps")  # of the recipe; a run may be extended


@dataclass(frozen=True)
class RunConfig:
    """All that is needed to use a run and to resume it.

    `side` is what the shorter side of an image is resized to before it is cropped to `input`
    (c, h, w); `images` counts those for training, validation and test, `digest` is as in `Splits`.
    `differences` has field -> (value in the recipe, value in the paper's). `scaling` and `augment`
    are the recipe's, with their statistics of the training images; `class_weights` are those of
    the loss, none where all classes weigh the same. Each of `processes` needs `minimum` images of a
    batch. Images of up to `max_pixels` were read.
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
    minimum: int = 1
    processes: int = 1
    class_weights: tuple[float, ...] = ()
    max_pixels: int = MAX_PIXELS

    @classmethod
    def fit(
        cls,
        recipe: Recipe,
        data: Splits,
        execution: Execution,
        seed: int = 0,
        network: str = "",
        differences: Mapping[str, tuple[int | str, int | str]] | None = None,
        minimum: int = 1,
    ) -> "RunConfig":
        """The configuration for these data, of which scaling, augmentation and class weights take
        statistics.
        """
        balanced = recipe.class_weights == "balanced"
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
            minimum=minimum,
            processes=distributed.world_size(),
            class_weights=class_weights(data.train.labels, data.classes) if balanced else (),
            max_pixels=max_pixels(),
        )

    @property
    def smallest(self) -> int:
        """The images that a batch needs; fewer that are left over join the batch before."""
        return self.minimum * self.processes

    def batches(self) -> list[int]:
        """The sizes of the batches of an epoch."""
        return batch_sizes(self.images[0], self.recipe.batch, self.smallest)

    @property
    def steps_per_epoch(self) -> int:
        return self.recipe.steps_per_epoch(self.images[0], self.smallest)

    @property
    def epochs(self) -> int:
        """How many epochs there are, the last of which may be cut short."""
        return math.ceil(self.total_steps / self.steps_per_epoch)

    @property
    def total_steps(self) -> int:
        return self.recipe.total_steps(self.images[0], self.smallest)

    def loss(self, device: torch.device) -> Callable[..., Tensor]:
        """The recipe's loss, with the class weights on this device."""
        if not self.class_weights:
            return self.recipe.loss
        return partial(self.recipe.loss, weights=_on(device, self.class_weights))

    def require_batches(self) -> None:
        """Raises a ValueError when a batch has too few images for the processes that run now."""
        processes, least = distributed.world_size(), min(self.batches())
        if least < self.minimum * processes:
            reason = "the network cannot be trained on a single one" * (self.minimum > 1)
            many = f"{processes} processes need {self.minimum} each" * (processes > 1)
            raise ValueError(
                f"batches of {self.recipe.batch} from {self.images[0]} images for training leave "
                f"{least} for the smallest, but {' and '.join(filter(None, (many, reason)))}; "
                f"choose a batch of at least {self.minimum * processes}"
            )

    def check(self) -> None:
        """Raises a ValueError where parts read from a file do not fit each other."""
        c, crop, side = self.input[0], self.recipe.crop, self.recipe.side
        if not 1 <= c <= MOST_CHANNELS or self.input != (c, crop, crop):
            raise ValueError(
                f"input cannot be {list(self.input)}; it takes 1 to {MOST_CHANNELS:,} channels of "
                f"the recipe's crop, {crop}x{crop}"
            )
        if self.side != side:
            raise ValueError(f"side cannot be {self.side}; it is {side} in the recipe")
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError("classes must be at least one, and all different")
        if min(self.images) < 0:
            raise ValueError(f"images cannot be {list(self.images)}; counts are at least 0")
        if min(self.minimum, self.processes) < 1:
            raise ValueError(
                f"minimum and processes must be at least 1, not {self.minimum} and {self.processes}"
            )
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels must be at least 1, not {self.max_pixels}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
        if (count := len(self.class_weights)) not in (0, len(self.classes)):
            raise ValueError(
                f"class_weights cannot be {count} numbers; they are one for each of "
                f"{len(self.classes)} classes"
            )
        if {len(self.scaling.scale), len(self.scaling.shift)} != {c}:
            raise ValueError(f"scaling must have a scale and a shift for each of {c} channels")

    def fixed(self) -> dict[str, Any]:
        """What must be the same when training resumes, field by field, as JSON."""
        content = to_json(self)
        parts = content["recipe"].items()
        recipe = {f"recipe.{name}": part for name, part in parts if name not in LENGTH}
        return recipe | {name: content[name] for name in FIXED}


@lru_cache(maxsize=1)
def _on(device: torch.device, weights: tuple[float, ...]) -> Tensor:
    """Copied once, since a recorded step cannot copy from the CPU."""
    return torch.tensor(weights, device=device)


@dataclass(frozen=True)
class Origin:
    """How the recipe of a run was asked for: a name or file, and what was changed."""

    recipe: str = ""
    epochs: int | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)


def check_notes(notes: Mapping[str, Any]) -> None:
    """Raises a ValueError for a note in run.json that is not of its kind."""
    kinds = {
        "best_epoch": int,
        "parameters": int,
        "adapted": Mapping[str, str],
        "origin": Origin,
        "stopped_early": str,
        "extended": tuple[Mapping[str, int], ...],
        "plan": Mapping[str, float],
        "measured": Mapping[str, float],
        "ended": bool,
        "diverged": str,
        "file": tuple[int, ...],
    }
    for name, kind in kinds.items():
        if notes.get(name) is not None:
            from_json(notes[name], kind, name)
    if notes.get("test") is not None:
        test = from_json(notes["test"], Mapping[str, Any], "test")
        for name, kind in (("top1_error", float), ("top5_error", float | None)):
            error = from_json(test.get(name), kind, f"test.{name}")
            if error is not None and not 0 <= error <= 100:
                raise ValueError(f"test.{name} must be 0 to 100, not {error}")
