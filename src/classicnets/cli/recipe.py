"""The verb recipe: what a network is trained by, each value with its source."""

import shutil
from typing import Annotated

import typer


def recipe(
    network: Annotated[str, typer.Argument(help="a name, or path/to/file.py:builder")],
    data: Annotated[str, typer.Option(help="what it is for; some data have their own")] = "",
    recipe: Annotated[str, typer.Option(help="paper, fast, or your FILE.py[:NAME]")] = "",
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """How a network is trained: each value, and where its paper says so or what we assume."""
    from dataclasses import fields
    from json import dumps

    from rich.console import Console
    from rich.table import Table

    from classicnets.api.recipes import choose_recipe, resolve_network
    from classicnets.training.recipe.recipe import ABOUT_PAPER
    from classicnets.training.recipe.serialization import to_json

    of = choose_recipe(resolve_network(network, data), recipe or None, data)
    rows = [
        (f.name, value, of.cited.get(f.name, ""), of.assumed.get(f.name, ""))
        for f in fields(of)
        if f.name not in ABOUT_PAPER
        if (value := getattr(of, f.name)) is not None or f.name in {**of.cited, **of.assumed}
    ]
    if json:
        values = to_json(of)
        told = [
            {"field": name, "value": values[name], "set": repr(value)}
            | {"cited": cited or None, "assumed": assumed or None}
            for name, value, cited, assumed in rows
        ]
        print(dumps({"network": network, "cite": of.cite, "fields": told}, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("field", no_wrap=True)
    table.add_column("value", ratio=1, overflow="fold")
    table.add_column("source", ratio=1)
    for name, value, cited, assumed in rows:
        source = "; ".join(filter(None, (cited, assumed and f"assumed: {assumed}")))
        table.add_row(name, repr(value), source)
    width = shutil.get_terminal_size((120, 24)).columns  # of what is no terminal, 120
    print(f"{network} by {of.cite}\n")
    Console(width=width, markup=False, highlight=False).print(table)
    print("\nChange a value with --set field=value, written as it stands here.")
