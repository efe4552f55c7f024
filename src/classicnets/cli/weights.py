"""The verb `weights`: published weights that fit a network, and files of them made into runs."""

from pathlib import Path
from typing import Annotated

import typer

from .flags import ExistOk
from .options import OUTPUT, Json
from .terminal import one_line, print_json


def weights(
    network: Annotated[
        str,
        typer.Argument(metavar="NETWORK", help="name or pattern, such as resnet18 or 'vgg_*'"),
    ] = "*",
    file: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="file of weights of torchvision, timm, pytorchcv (.pth, .safetensors), Keras "
            "(.h5) or Caffe (.caffemodel), such as --from resnet18.pth",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            rich_help_panel=OUTPUT,
            help="new run directory, from the file of --from, such as --out runs/pretrained",
        ),
    ] = None,
    exist_ok: ExistOk = False,
    json: Json = False,
) -> None:
    """List published weights, or convert a weight file into a run directory.

    Where a command takes a run directory, it also takes the name of a network with published
    weights, or NAME@SOURCE, and downloads them.

    \b
    Examples:
      classicnets weights
      classicnets predict resnet18 photo.jpg
      classicnets train resnet18 --weights torchvision --data path/to/folder
      classicnets weights resnet18 --from resnet18.pth --out runs/pretrained
    """
    import classicnets as cn

    if (file is None) != (out is None):
        raise ValueError("--from and --out go together: a file, and the run that is made of it")
    if file is not None and out is not None:
        run = cn.import_weights(network, file, out, exist_ok)
        published = "published" in run.notes
        origin = run.config.recipe.cite if published else f"the weights of {file}"
        print(one_line(f"{out}: {run.config.network} with {origin}"))
        return
    found = cn.list_weights(network)
    if json:
        print_json(found.json())
    else:
        print(found)
