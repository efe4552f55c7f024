"""The verbs that judge a run: evaluate and predict."""

from pathlib import Path
from typing import Annotated

import typer

from .train import print_evaluation


def evaluate(
    run: Annotated[Path, typer.Argument(help="the directory of a run")],
    data: Annotated[str, typer.Option(help="other pictures of the same classes")] = "",
    protocol: Annotated[str, typer.Option(help="how each picture is shown: single")] = "single",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Top-1 and top-5 error of a run on test pictures, and what it confuses."""
    from json import dumps

    import classicnets as cn

    evaluation = cn.evaluate(run, data or None, protocol, device=device)
    if json:
        print(dumps(evaluation.as_json(), ensure_ascii=False))
    else:
        print_evaluation(evaluation)


def predict(
    run: Annotated[Path, typer.Argument(help="the directory of a run")],
    images: Annotated[list[Path], typer.Argument(help="picture files")],
    top: Annotated[int, typer.Option(help="how many classes to name")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What a run takes your pictures to be. One unreadable picture, and nothing is printed."""
    from json import dumps

    import classicnets as cn

    predictions = cn.predict(run, images, top, device=device)
    if json:
        named = [
            {"path": path, "top": [{"class": name, "probability": p} for name, p in classes]}
            for path, classes in predictions
        ]
        print(dumps(named, ensure_ascii=False))
        return
    for path, classes in predictions:
        print(f"{path}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in classes))
