"""The command see: figures of what a network has learnt."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .progress import bars


def see(
    run: Annotated[Path, typer.Argument(help="the directory of a run")],
    images: Annotated[
        list[Path] | None, typer.Argument(help="image files or folders; else a test image")
    ] = None,
    what: Annotated[str, typer.Option(help="filters,maps,deconv,cam (the default), ...")] = "",
    all_: Annotated[bool, typer.Option("--all", help="every kind, as one HTML page")] = False,
    layers: Annotated[str, typer.Option(help="layers by name: conv1,conv5")] = "",
    maps: Annotated[str, typer.Option(help="feature maps by number: 0,7")] = "",
    label: Annotated[
        str, typer.Option("--class", help="the class to explain; else the predicted class")
    ] = "",
    limit: Annotated[int, typer.Option(help="test images to use, at most")] = 1000,
    method: Annotated[str, typer.Option(help="of embedding: pca, tsne or umap")] = "tsne",
    out: Annotated[Path | None, typer.Option(help="a folder for PNGs, or a page.html")] = None,
    npz: Annotated[bool, typer.Option("--npz", help="save the arrays too")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Look inside a run: filters, feature maps, deconvnet, occlusion, Grad-CAM, ...

    --what takes filters, maps, deconv, strongest, occlusion, gradients, cam, invariance, probes,
    embedding, mistakes, confusion and health, separated by commas.
    """
    from classicnets.api.see import DEFAULT_KINDS, save, see

    if what and all_:
        raise ValueError("--what and --all exclude each other; give one")
    kinds = ("all",) if all_ else _split(what) or DEFAULT_KINDS
    numbers = _split(maps)
    if not all(number.isdigit() for number in numbers):
        raise ValueError(f"--maps takes numbers such as 0,7, not {maps!r}")
    series = see(
        run, images or (), kinds, _split(layers), [int(n) for n in numbers], label or None,
        limit=limit, method=method, device=device,
    )  # fmt: skip
    for reason in series.unreadable:
        print(f"warning: left out: {reason}", file=sys.stderr)
    place = out or run / ("see.html" if all_ else "see")
    if all_ and place.suffix != ".html":
        place = place / "see.html"
    plates = []
    with bars() as advance:
        for plate in series:
            plates.append(plate)
            advance("plates", len(plates), len(series))
    save(series, plates, place, npz)
    for plate in plates:
        if plate.figure is None:
            print(f"left out: {plate.name}: {plate.text}")
        elif place.suffix != ".html":
            print(place / f"{plate.name}.png")
    if place.suffix == ".html":
        print(place)


def _split(words: str) -> tuple[str, ...]:
    return tuple(filter(None, (word.strip() for word in words.split(","))))
