"""Options that several verbs share, and the checks that go with them."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .report import warn

if TYPE_CHECKING:
    from classicnets.catalog import Entry

BATCH_SIZE = ("--batch-size", "-b", "--batch")  # the first is the one that is written
# what opens a path says in one line why it cannot; typer's own check takes three, and looks at the
# real user only
UNCHECKED: dict[str, Any] = {"readable": False}
DATA, RECIPE, EXECUTION, OUTPUT = "Data", "Recipe", "Execution", "Output"  # sections of --help

Network = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help="name such as resnet20 (`classicnets list` shows all), a design file such as my.net, "
        "or path/to/file.py:builder",
        show_default=False,
    ),
]
RunDirectory = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="run directory such as runs/digits, hf:USER/NAME, or a network with published "
        "weights, such as resnet18 or vgg_d@keras",
        **UNCHECKED,
    ),
]
RunDirectories = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN",
        help="run directories such as runs/a runs/b, hf:USER/NAME, or networks with published "
        "weights",
        **UNCHECKED,
    ),
]
ImagePaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGE",
        help="image files, folders of them (searched in depth), or - for a list of paths on stdin",
        **UNCHECKED,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        metavar="NAME|PATH",
        rich_help_panel=DATA,
        help="data set: digits, mnist, cifar10, hf:OWNER/NAME, imagenet:FOLDER, ...; a folder with "
        "one folder per class; a CSV file of paths and labels; or a .pack file, such as "
        "--data path/to/folder",
    ),
]
MissingClasses = Annotated[
    bool,
    typer.Option(
        "--allow-missing-classes",
        rich_help_panel=DATA,
        help="accept validation and test images that lack classes of the training images",
    ),
]
Unreadable = Annotated[
    str,
    typer.Option(
        metavar="skip|refuse",
        rich_help_panel=DATA,
        help="unreadable files: skip (with a warning) or refuse, such as --unreadable refuse",
    ),
]


def set_max_pixels(value: str) -> str:
    """Sets it for this process as soon as it is read; returns what was typed."""
    if value:  # else nothing is imported before Ctrl-C is handled
        from classicnets.data import image_file

        image_file.set_max_pixels(value)
    return value


MaxPixels = Annotated[
    str,
    typer.Option(
        "--max-pixels",
        metavar="N",
        rich_help_panel=DATA,
        callback=set_max_pixels,
        help="largest image that is read, such as --max-pixels 400000000",
        show_default="2^28",
    ),
]
ReplaceFile = Annotated[
    bool,
    typer.Option("--exist-ok", rich_help_panel=OUTPUT, help="replace the file that --out names"),
]
RecipeName = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        rich_help_panel=RECIPE,
        help="paper, fast (modern), fine-tune (for learnt weights), a variant such as distorted "
        "(lenet5) or jitter (vgg_d), or your own FILE.py or FILE.py:NAME, such as --recipe fast",
        show_default="the paper's, or the data set's own",
    ),
]
Input = Annotated[
    str,
    typer.Option(
        "--input",
        metavar="N|CxHxW",
        rich_help_panel=DATA,
        help="size of one image: a side, or channels x height x width, such as --input 3x224x224",
        show_default="the paper's, or the design's",
    ),
]
OwnNetwork = Annotated[
    str,
    typer.Option(
        "--network",
        metavar="FILE:BUILDER",
        rich_help_panel=EXECUTION,
        help="builder of the network, for a run of your own module: a run directory holds no "
        "code, such as --network mine.py:net",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        rich_help_panel=EXECUTION,
        help="auto (a GPU if there is one), cpu, cuda, mps, ..., such as --device cuda:1",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        rich_help_panel=EXECUTION,
        help="fp32, bf16, or auto (bf16 where the hardware has it and the network gains from it), "
        "such as --precision bf16",
    ),
]
Json = Annotated[bool, typer.Option("--json", rich_help_panel=OUTPUT, help="print JSON")]
Csv = Annotated[bool, typer.Option("--csv", rich_help_panel=OUTPUT, help="print CSV")]


def require_at_most_one(**options: bool) -> None:
    """Raises a ValueError when more than one of these options is given.

    >>> require_at_most_one(json=True, csv=True, markdown=False)
    Traceback (most recent call last):
    ValueError: --json and --csv exclude each other; give one
    """
    given = [f"--{name}" for name, value in options.items() if value]
    if len(given) > 1:
        names = f"{', '.join(given[:-1])} and {given[-1]}"
        raise ValueError(f"{names} exclude each other; give one")


def terminal_width(default: int = 120) -> int:
    """Columns of the terminal; `default` where the output is not one."""
    return shutil.get_terminal_size((default, 24)).columns


def parsed_size(text: str, network: "str | Entry") -> tuple[int, int, int] | None:
    """The value of --input, as (channels, height, width); None if it is not given.

    A side alone is that of a square with the channels that the network reads.

    >>> parsed_size("3x224x224", "lenet5"), parsed_size("64", "lenet5")
    ((3, 224, 224), (1, 64, 64))
    """
    if not text:
        return None
    if text.isdecimal() and int(text) > 0:
        from classicnets import catalog

        entry = catalog.find(network) if isinstance(network, str) else network
        return entry.input[0], int(text), int(text)
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(
            "--input is a side such as 224, or channels x height x width such as 3x224x224, "
            f"not {text!r}"
        )
    c, h, w = map(int, parts)
    if c not in (1, 3, 4) and w in (1, 3, 4):  # the channels of images
        warn([f"--input is channels x height x width; did you mean {w}x{c}x{h}?"])
    return c, h, w
