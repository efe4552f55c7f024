"""Options of train that spell a field of the recipe, as in other tools, and the run directory."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from classicnets.support.arguments import FIELDS

from .habits import setting_instead
from .options import BATCH_SIZE, OUTPUT, RECIPE
from .verbs import verb_of


def _field(*flags: str, metavar: str, text: str) -> Any:
    """An option that is the recipe's value unless given."""
    return typer.Option(
        *flags, metavar=metavar, rich_help_panel=RECIPE, help=text, show_default="the recipe's"
    )


Epochs = Annotated[
    int | None,
    _field("--epochs", metavar="N", text="number of epochs, such as --epochs 30"),
]
Lr = Annotated[
    str | None,
    _field(
        "--lr",
        metavar="X",
        text="learning rate where the schedule starts or peaks; the others follow in proportion, "
        "such as --lr 0.01",
    ),
]
BatchSize = Annotated[
    str | None,
    _field(*BATCH_SIZE, metavar="N", text="images per update, such as --batch-size 32"),
]
ImageSize = Annotated[
    str | None,
    _field(
        "--img-size",
        metavar="N",
        text="side of the square that the network reads, in pixels; the size that images are "
        "resized to follows in proportion, such as --img-size 64",
    ),
]
OptimizerName = Annotated[
    str | None,
    _field(
        "--optimizer",
        metavar="NAME",
        text="sgd, adam or adamw; the last two start from a learning rate of 0.001 unless --lr is "
        "given, such as --optimizer adamw",
    ),
]
WeightDecay = Annotated[
    str | None,
    _field("--weight-decay", metavar="X", text="weight decay, such as --weight-decay 1e-4"),
]
Augment = Annotated[
    str | None,
    _field(
        "--augment",
        metavar="WORDS",
        text="none (no random crops either), or of crop, flip, colour and distort those wanted; "
        "crops are as in the recipe, such as --augment flip,colour",
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=RECIPE,
        help="stop after N epochs without a better validation, such as --patience 5",
        show_default="never",
    ),
]
ClassWeights = Annotated[
    str | None,
    typer.Option(
        metavar="balanced",
        rich_help_panel=RECIPE,
        help="for classes of unequal size: weigh images in the loss so that all classes count "
        "the same, such as --class-weights balanced",
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        metavar="balanced",
        rich_help_panel=RECIPE,
        help="for classes of unequal size: show images of each class equally often, such as "
        "--sampler balanced",
    ),
]
InitFrom = Annotated[
    str | None,
    typer.Option(
        "--init-from",
        "--weights",
        metavar="RUN|SOURCE|FILE",
        rich_help_panel=RECIPE,
        help="start from the weights of a run of the same network, from published ones "
        "(`classicnets weights` lists them) or from a file of them, by the recipe fine-tune; "
        "for other classes the last layer is new, such as --init-from runs/cifar10, --weights "
        "torchvision, --weights resnet18.pth",
    ),
]
Freeze = Annotated[
    str | None,
    typer.Option(
        metavar="LAYER",
        rich_help_panel=RECIPE,
        help="keep this layer or stage, by its name in `classicnets show`, and all before it as "
        "they start, also the statistics of batch normalisation, such as --freeze conv3_x",
        show_default="nothing",
    ),
]
Name = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="NAME",
        rich_help_panel=OUTPUT,
        help="the same as --out runs/NAME, such as --name digits",
    ),
]
ExistOk = Annotated[
    bool,
    typer.Option(
        "--exist-ok",
        rich_help_panel=OUTPUT,
        help="replace the run that is in this directory; other files stay",
    ),
]


def recipe_changes(given: Mapping[str, str | int | None], settings: list[str]) -> dict[str, str]:
    """Field -> value, of the options that are given and of what is given to --set.

    Raises a ValueError for a field that is given by both, or twice, and for a --set without `=`.
    """
    overrides = parsed_settings(settings)
    changes = {}
    for option, value in given.items():
        if value is None:
            continue
        field, *_ = FIELDS[option]
        _require_alone(option, overrides)
        if option != "epochs":  # an argument of its own
            text = str(value)
            words = option in ("optimizer", "augment") and "(" not in text
            changes[field] = text.lower() if words else text
    return {**changes, **overrides}


def _require_alone(option: str, overrides: Iterable[str]) -> None:
    """Raises a ValueError where --set names what this option sets, or a part of it."""
    flag = f"--{option.replace('_', '-')}"
    for name in overrides:
        further = option == "optimizer" and name.startswith("optimizer.")
        if not further and any(_same(field, name) for field in FIELDS[option]):
            raise ValueError(f"{flag} and --set {name} exclude each other; give one")


def parsed_settings(settings: list[str]) -> dict[str, str]:
    """Field -> value, from FIELD=VALUE."""
    overrides: dict[str, str] = {}
    for text in settings:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise ValueError(f"--set takes FIELD=VALUE, such as batch=64, not {text!r}")
        if name in overrides:
            raise ValueError(f"--set {name} is given twice")
        overrides[name] = value
    return overrides


def refuse_other_settings(context: typer.Context, changes: Iterable[tuple[str, str]]) -> None:
    """Raises a ValueError for a setting of another tool that is not a field of a recipe, with ours.

    Other unknown fields are left to the recipe.
    """
    from dataclasses import fields

    from classicnets.training.recipe.recipe import Recipe
    from classicnets.training.recipe.shorthand import FORMS

    known = {*FORMS, *(field.name for field in fields(Recipe))}
    for name, value in changes:
        if name.partition(".")[0] in known:
            continue
        if reply := setting_instead(verb_of(context.command, context), name, value):
            raise ValueError(reply)


def _same(field: str, name: str) -> bool:
    """Whether one is the other, or a field of it."""
    return f"{name}.".startswith(f"{field}.") or f"{field}.".startswith(f"{name}.")


def directory_of(out: Path | None, name: str) -> Path | None:
    """The run directory of --out and --name. Raises a ValueError for both, and for a path."""
    if not name:
        return out
    if out is not None:
        raise ValueError("--name and --out both name the run directory; give one")
    if name in (".", "..") or Path(name).name != name:
        raise ValueError(f"--name is the name of a directory in runs, not {name!r}; see --out")
    return Path("runs") / name
