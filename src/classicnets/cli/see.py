"""The command see: figures of what a network has learnt."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import DATA, OUTPUT, Device, MaxPixels, OwnNetwork, RunDirectory, require_at_most_one
from .progress import bars
from .terminal import one_line, sentence

FIGURES = "Figures"  # section of --help


def see(
    run: RunDirectory,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE", help="image files or folders; by default one test image of the run"
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            rich_help_panel=DATA,
            help="where the run's data are, if they have moved, such as --data path/to/folder",
            show_default="where they were",
        ),
    ] = "",
    limit: Annotated[
        int,
        typer.Option(metavar="N", rich_help_panel=DATA, help="test images to use, at most"),
    ] = 1000,
    what: Annotated[
        str,
        typer.Option(
            metavar="KIND,KIND",
            rich_help_panel=FIGURES,
            help="kinds of figures, such as --what maps,occlusion",
            show_default="filters,maps,deconv,cam",
        ),
    ] = "",
    all_: Annotated[
        bool, typer.Option("--all", rich_help_panel=FIGURES, help="every kind, as one HTML page")
    ] = False,
    layers: Annotated[
        str,
        typer.Option(
            metavar="LAYER,LAYER",
            rich_help_panel=FIGURES,
            help="layers by name, such as --layers conv1,conv5, or a call: 'relu (2)'",
            show_default="the network's stages",
        ),
    ] = "",
    maps: Annotated[
        str,
        typer.Option(
            metavar="N,N",
            rich_help_panel=FIGURES,
            help="feature maps by number, such as --maps 0,7",
            show_default="the strongest",
        ),
    ] = "",
    label: Annotated[
        str,
        typer.Option(
            "--class",
            metavar="CLASS",
            rich_help_panel=FIGURES,
            help="class to explain, such as --class dog",
            show_default="the predicted class",
        ),
    ] = "",
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME", rich_help_panel=FIGURES, help="embedding by pca, tsne or umap"
        ),
    ] = "tsne",
    network: OwnNetwork = "",
    max_pixels: MaxPixels = "",
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            rich_help_panel=OUTPUT,
            help="folder for PNG files, a .html page, or a .png file for a single plate, such as "
            "--out page.html",
            show_default="RUN/see, or RUN/see.html with --all",
        ),
    ] = None,
    npz: Annotated[
        bool, typer.Option("--npz", rich_help_panel=OUTPUT, help="save the arrays as well")
    ] = False,
) -> None:
    """Look inside a run: filters, feature maps, Grad-CAM, ...

    \b
    Kinds of figures:
      filters     the weights of the filters
      maps        the feature maps of a layer for an image
      deconv      what in the image caused the strongest activation of a map
      strongest   the nine patches of test images that activate a map most
      occlusion   the probability while a grey square hides part of the image
      gradients   saliency, guided backpropagation, integrated gradients
      cam         Grad-CAM, Grad-CAM++ and CAM
      invariance  features as the image is translated, scaled and rotated
      probes      the accuracy of a linear classifier on each layer
      embedding   the last features of test images in the plane
      mistakes    the most confident mistakes
      confusion   the confusion matrix
      health      standard deviations of responses, gradients and weights

    \b
    Examples:
      classicnets see runs/digits
      classicnets see runs/digits one.png --what cam,occlusion --class 7
      classicnets see runs/digits one.png --all --out page.html
    """
    from classicnets.api.see import DEFAULT_KINDS, see
    from classicnets.support.fonts import together
    from classicnets.visualize.plates import check_out, save

    require_at_most_one(what=bool(what), all=all_)
    kinds = ("all",) if all_ else _split(what) or DEFAULT_KINDS
    numbers = _split(maps)
    if not all(number.isdigit() for number in numbers):
        raise ValueError(f"--maps takes numbers such as 0,7, not {maps!r}")
    series = see(
        run, images or (), kinds, _split(layers), [int(n) for n in numbers], label or None,
        network=network or None, limit=limit, method=method, device=device,
        data=data or None,
    )  # fmt: skip
    for reason in series.unreadable:
        print(sentence(f"warning: skipped: {reason}"), file=sys.stderr)
    beside = run if run.is_dir() else Path(run.name)
    place = out or beside / ("see.html" if all_ else "see")
    check_out(series, place)
    if all_ and place.suffix.lower() != ".html":
        place = place / "see.html"
    plates = []
    with bars() as advance, together():
        for plate in series:
            plates.append(plate)
            advance("plates", len(plates), len(series))
        written = save(series, plates, place, npz)
    stream = sys.stdout if place in written else sys.stderr  # where only paths are read
    for plate in plates:
        if plate.figure is None:
            print(one_line(f"skipped: {plate.name}: {plate.text}"), file=stream)
    for path in written:
        print(path)


def _split(words: str) -> tuple[str, ...]:
    return tuple(filter(None, (word.strip() for word in words.split(","))))
