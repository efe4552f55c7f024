"""The variants that are asked for: networks, and the values of a sweep."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from .plan import Variant

PAIRS = {"(": ")", "[": "]", "{": "}"}


class Asked(NamedTuple):
    """A variant by its name, its network as `train` takes it, and its settings.

    With the text of a `design`, `network` is the name of the file that it is written to.
    """

    name: str
    network: str
    overrides: Mapping[str, str]
    design: str = ""


def ask(networks: Sequence[str], settings: Mapping[str, Sequence[str]]) -> list[Asked]:
    """Every network with every combination of the values of the settings, in the order given.

    A setting of one value is the same for all. Raises a ValueError for one variant only, and for
    two with the same name.

    >>> [variant.name for variant in ask(["lenet5"], {"lr": ["0.1", "0.2"]})]
    ['lenet5 lr=0.1', 'lenet5 lr=0.2']
    """
    asked = []
    for network, values in product(networks, product(*settings.values())):
        chosen = dict(zip(settings, values, strict=True))
        swept = [f"{name}={value}" for name, value in chosen.items() if len(settings[name]) > 1]
        asked.append(Asked(" ".join([network, *swept]), network, chosen))
    if not networks:
        raise ValueError("an experiment needs a network; `classicnets list` shows their names")
    if len(asked) < 2:
        raise ValueError(
            f"{asked[0].name} is one variant only; compare it with another network (in "
            "Python they are a list), or sweep a field of the recipe, as in --set lr=0.01,0.03"
        )
    names = [variant.name for variant in asked]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"the variant {twice} is given twice")
    return asked


def distinct(variants: Sequence[Variant]) -> list[Variant]:
    """The first of each network with each recipe."""
    return [one for k, one in enumerate(variants) if _same(one, variants[:k]) is None]


def require_different(variants: Sequence[Variant]) -> None:
    """Raises a ValueError for two variants that are the same network, trained the same."""
    for k, variant in enumerate(variants):
        if before := _same(variant, variants[:k]):
            but = (
                " but for the protocol, by which `evaluate` tests; experiments show one centre crop"
            )
            but *= before.recipe != variant.recipe
            raise ValueError(
                f"{before.name} and {variant.name} are the same variant: the same network "
                f"with the same recipe{but}"
            )


def _same(variant: Variant, others: Sequence[Variant]) -> Variant | None:
    """The first of the others that is the same network, trained the same."""
    what = _trained(variant)
    return next((one for one in others if _trained(one) == what), None)


def _trained(variant: Variant) -> tuple[str, dict[str, Any]]:
    """What its training depends on: the network, and the recipe but for how a run is evaluated."""
    return variant.digest, {k: v for k, v in variant.recipe.items() if k != "protocol"}


def split_values(text: str) -> list[str]:
    """The values of a sweep, which commas separate but for those in brackets or quotes.

    >>> split_values("0.1,Constant(0.2),MultiStep(0.1, (0.5,), 0.1)")
    ['0.1', 'Constant(0.2)', 'MultiStep(0.1, (0.5,), 0.1)']
    """
    values, open_, quote = [""], 0, ""
    for letter in text:
        if letter == "," and not open_ and not quote:
            values.append("")
            continue
        values[-1] += letter
        if quote or letter in "'\"":
            quote = "" if letter == quote else quote or letter
        else:
            open_ += (letter in PAIRS) - (letter in PAIRS.values())
    return [value.strip() for value in values]


def as_settings(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """The settings as lists of text. Raises a ValueError for a value that is missing."""
    found = {name: _values(given) for name, given in settings.items()}
    for name, values in found.items():
        if not values or "" in values:
            raise ValueError(
                f"{name} lacks a value in {','.join(values)!r}; commas separate values"
            )
    return found


def _values(given: Any) -> list[str]:
    if isinstance(given, str):
        return split_values(given)
    values = list(given) if isinstance(given, list | range) else [given]
    return [value if isinstance(value, str) else repr(value) for value in values]
