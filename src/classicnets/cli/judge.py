"""The verbs that judge a run: evaluate and predict."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .train import print_evaluation

if TYPE_CHECKING:
    from classicnets.api.predict import Prediction
    from classicnets.evaluation.metrics import Evaluation

SHOWN_MISTAKES = 5


def evaluate(
    runs: Annotated[
        list[Path], typer.Argument(help="the directory of a run; of several, averaged")
    ],
    data: Annotated[str, typer.Option(help="other pictures of the same classes")] = "",
    protocol: Annotated[
        str, typer.Option(help="single, ten-crop, dense, ...; else as in the paper")
    ] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, or bf16 for speed")] = "fp32",
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    csv: Annotated[Path | None, typer.Option(help="a file for the figures of each class")] = None,
    png: Annotated[Path | None, typer.Option(help="a file for confusion and calibration")] = None,
) -> None:
    """Top-1 and top-5 error on test pictures, what is confused, and how far to believe it."""
    from json import dumps

    import classicnets as cn
    from classicnets.evaluation.plots import class_csv, evaluation_png
    from classicnets.support.files import write_atomic

    evaluation = cn.evaluate(
        runs, data or None, protocol or None, device=device, precision=precision
    )
    if csv is not None:
        write_atomic(csv, class_csv(evaluation).encode())
    if png is not None:
        write_atomic(png, evaluation_png(evaluation))
    if json:
        print(dumps(evaluation.as_json(), ensure_ascii=False))
        return
    print_evaluation(evaluation)
    _print_confidence(evaluation)
    for file in filter(None, (csv, png)):
        print(f"written: {file}")


def _print_confidence(evaluation: "Evaluation") -> None:
    times = "once" if evaluation.views == 1 else f"{evaluation.views} times"
    print(
        f"each picture went through a network {times}; "
        f"calibration error {evaluation.calibration_error:.2f} %"
    )
    if evaluation.mistakes:
        print("most confident mistakes:")
    for mistake in evaluation.mistakes[:SHOWN_MISTAKES]:
        name = mistake.image if isinstance(mistake.image, str) else f"no. {mistake.image}"
        print(
            f"  {name}: {mistake.predicted} with {100 * mistake.probability:.1f} %, "
            f"is {mistake.label}"
        )


def predict(
    run: Annotated[Path, typer.Argument(help="the directory of a run")],
    images: Annotated[
        list[Path], typer.Argument(help="pictures, folders of them, or - for a list on stdin")
    ],
    top: Annotated[int, typer.Option(help="how many classes to name")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
) -> None:
    """What a run takes your pictures to be.

    If one that you name cannot be read, nothing is printed; one found in a folder is left out.
    """
    from rich.console import Console

    import classicnets as cn

    if json and csv:
        raise ValueError("--json and --csv exclude each other; give one")
    found = cn.predict(run, _listed(images), top, device=device)
    for prediction in found:
        if prediction.unreadable:
            print(f"warning: left out: {prediction.unreadable}", file=sys.stderr)
    predictions = [prediction for prediction in found if prediction.top]
    if json:
        _print_json(predictions)
    elif csv:
        _print_csv(predictions)
    elif Console().is_terminal:
        _print_table(predictions)
    else:
        for path, classes, _ in predictions:
            print(f"{path}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in classes))


def _listed(images: list[Path]) -> list[Path]:
    """The paths given, with - replaced by those on standard input, one a line."""
    lines = sys.stdin.read().splitlines() if Path("-") in images else []
    named = [Path(line) for line in lines if line.strip()]
    return [path for image in images for path in (named if image == Path("-") else [image])]


def _print_json(predictions: "list[Prediction]") -> None:
    from json import dumps

    named = [
        {"path": path, "top": [{"class": name, "probability": p} for name, p in classes]}
        for path, classes, _ in predictions
    ]
    print(dumps(named, ensure_ascii=False))


def _print_csv(predictions: "list[Prediction]") -> None:
    from csv import writer

    out = writer(sys.stdout, lineterminator="\n")
    out.writerow(["path", "rank", "class", "probability"])
    for path, classes, _ in predictions:
        for rank, (name, p) in enumerate(classes, start=1):
            out.writerow([path, rank, name, f"{p:.6f}"])


def _print_table(predictions: "list[Prediction]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("picture", overflow="fold")
    for rank in range(max((len(classes) for _, classes, _ in predictions), default=0)):
        table.add_column("likeliest" if rank == 0 else "")
    for path, classes, _ in predictions:
        cells = [f"{escape(name)} {100 * p:.1f} %" for name, p in classes]
        table.add_row(escape(path), *cells[:1], *(f"[dim]{cell}[/]" for cell in cells[1:]))
    Console().print(table)
