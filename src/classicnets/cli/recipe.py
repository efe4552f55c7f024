"""The verb recipe: the values that a network is trained with, each with its source."""

from .options import Data, Json, Network, RecipeName, terminal_width
from .terminal import console, print_json


def recipe(network: Network, data: Data = "", recipe: RecipeName = "", json: Json = False) -> None:
    """Print a training recipe: each value with its source.

    A source is a section of the paper, or the reason for a value that the paper leaves open.

    \b
    Examples:
      classicnets recipe alexnet
      classicnets recipe lenet5 --data digits --json
    """
    from dataclasses import fields
    from json import dumps

    from rich.table import Table

    from classicnets.api.recipes import choose_recipe, resolve_network
    from classicnets.training.recipe.recipe import typed
    from classicnets.training.recipe.serialization import to_json

    target = resolve_network(network, data)
    chosen = choose_recipe(target, recipe or None, data)
    rows = chosen.rows()
    if json:
        values = to_json(chosen)
        objects = [
            {"field": name, "value": values[name], "set": typed(value)}
            | {"cited": cited or None, "assumed": assumed or None}
            for name, value, cited, assumed in rows
        ]
        print_json(
            dumps(
                {"network": target.name, "cite": chosen.cite, "fields": objects}, ensure_ascii=False
            )
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("field", no_wrap=True)
    table.add_column("value", ratio=1, overflow="fold")
    table.add_column("source", ratio=1)
    for name, value, cited, assumed in rows:
        source = "; ".join(filter(None, (cited, assumed and f"assumed: {assumed}")))
        table.add_row(name, typed(value), source)
    print(f"{target.name}, recipe source: {chosen.cite}\n")
    console(width=terminal_width(), markup=False, highlight=False).print(table)
    unset = [f.name for f in fields(chosen) if getattr(chosen, f.name) is None]
    print(f"\nnot set: {', '.join(unset)}")
    print("Change a value with `train --set FIELD=VALUE`, written as in this table.")
    if data:
        print("`train` adapts it to the data where they are few, and prints what it changes.")
