"""Exported files: all networks written and compared, and how fast ONNX Runtime runs them.

    python benchmarks/exports.py catalogue [NAME ...]
    peers/bin/python benchmarks/export_peers.py FOLDER
    python benchmarks/exports.py speed FOLDER [NAME ...]

`catalogue` writes every network of the catalogue, and a design, as ONNX with drawn weights, and
keeps how far the scores are from those of `predict`. `speed` times torchvision's networks, which
export_peers.py writes in an environment that has them, beside ours of the same layers, and int8
beside float32: one thread, one image, medians of rounds in turn. The tables go to results/;
what the first has written is kept in JSON, and not written again.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import onnxruntime
import torch
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets import catalog
from classicnets.data.synthetic import shapes
from classicnets.support.devices import device_name
from classicnets.training.execution.execution import Execution
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import create
from classicnets.training.run.loop import initialise

RESULTS = Path(__file__).parent / "results"
CATALOGUE, SPEED = "exports-catalogue", "exports-speed"
PEERS = {"resnet50": "resnet50_v15", "vgg16": "vgg_d"}  # torchvision's -> ours of the same layers
INT8 = ("resnet50", "vgg_d")
ROUNDS = 15
MAGNIFIES = ("plain110",)  # with the figures of a batch
DESIGN = Path(__file__).parent / "bases/vgg.net"


def main(args: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("catalogue", "speed"))
    parser.add_argument("rest", nargs="*")
    options = parser.parse_args(args)
    torch.set_num_threads(1)
    if options.what == "catalogue":
        write_catalogue(options.rest)
    else:
        write_speed(Path(options.rest[0]), options.rest[1:])


def write_catalogue(names: Sequence[str]) -> None:
    """Exports each network that has no row yet, or those named, and writes the table."""
    kept = RESULTS / f"{CATALOGUE}.json"
    rows = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    every = [*cn.names(), str(DESIGN)]
    for name in names or [one for one in every if Path(one).name not in rows]:
        with tempfile.TemporaryDirectory() as scratch:
            run, began = made_run(name, Path(scratch) / "run"), perf_counter()
            try:
                done = cn.export(run, Path(scratch) / "network.onnx")
            except ValueError as error:
                print(name, error, flush=True)
                continue
            rows[Path(name).name] = {
                "difference": done.difference,
                "agreed": done.agreed,
                "images": done.images,
                "bytes": done.bytes[0],
                "seconds": perf_counter() - began,
            }
        print(name, rows[Path(name).name], flush=True)
        kept.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    about = (
        "Every network of the catalogue and a design, with drawn weights, written as ONNX in fp32 "
        "and opened by ONNX Runtime: the largest difference of a score from `predict`'s, as a "
        "share of the largest score, on images in batches of 1, 2 and 5. 1e-3 is allowed. Seconds "
        "are those of the whole export, comparison included, on one thread of a shared machine. "
        "plain110 keeps the statistics that batch normalisation begins with: with those of a batch "
        "each of its stages magnifies what float32 rounds some 50 times, to 1 % to 20 % of its "
        "scores, whatever computes them, and it is refused."
    )
    table = [
        "| network | largest difference | same answer | MiB | seconds |",
        "|---|--:|--:|--:|--:|",
    ]
    table += [
        f"| {name} | {row['difference']:.1e} | {row['agreed']} of {row['images']} "
        f"| {row['bytes'] / 2**20:,.1f} | {row['seconds']:.0f} |"
        for name in (Path(one).name for one in every)
        if (row := rows.get(name))
    ]
    write(CATALOGUE, about, table)


def made_run(name: str, place: Path) -> Path:
    """A run directory with the recipe's initial weights, normalised by what a batch gives."""

    entry = catalog.find(name)
    c, crop, _ = entry.input
    recipe = replace(entry.recipe, crop=crop, side=max(crop, entry.recipe.side))
    data = shapes(40, recipe.side, c)
    execution = Execution("fp32", "channels_first", accumulation_steps=1)
    config = RunConfig.fit(recipe, data, execution, network=name)
    config = replace(config, classes=tuple(f"class {i}" for i in range(1000)))
    torch.manual_seed(0)
    network = entry.build(classes=1000, channels=c)
    initialise(network, recipe, 0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the figures of this batch alone
    with torch.no_grad():
        if name not in MAGNIFIES:
            network.train()(config.scaling(data.train[torch.arange(4)][:, :, :crop, :crop]))
    run = create(place, config, design=entry.design, ended=True)
    run.save_weights(network.eval())
    return run.directory


def write_speed(folder: Path, names: Sequence[str]) -> None:
    """Times files of torchvision's and ours, and int8 beside fp32, in ONNX Runtime."""

    rows = ["| network | file | ms an image | times as fast |", "|---|---|--:|--:|"]
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        photos = made_photos(scratch / "photos")
        for peer, name in PEERS.items():
            if names and name not in names:
                continue
            cn.export(made_run(name, scratch / name), scratch / f"{name}.onnx")
            rows += compared(name, {"torchvision's": folder / f"{peer}.onnx",
                                    "ours": scratch / f"{name}.onnx"})  # fmt: skip
        for name in (one for one in INT8 if not names or one in names):
            files = {p: scratch / f"{name}-{p}.onnx" for p in ("fp32", "int8")}
            run = made_run(name, scratch / f"{name}-run")
            for precision, file in files.items():
                cn.export(run, file, precision=precision, data=photos)
            rows += compared(name, files)
    about = (
        f"One image at a time on one thread of ONNX Runtime; medians of {ROUNDS} rounds in turn, "
        "the second against the first of each pair. Weights are drawn. The exports of torchvision "
        f"are by {(folder / 'versions.txt').read_text()}. The machine was shared: load "
        f"{os.getloadavg()[0]:.1f}."
    )
    write(SPEED, about, rows)


def made_photos(folder: Path) -> Path:
    """Synthetic images, by which int8 chooses its ranges."""

    folder.mkdir()
    for i, image in enumerate(shapes(64, 256).train.pixels):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
    return folder


def compared(name: str, files: dict[str, Path]) -> list[str]:
    """A row for each file, the second with its speed in multiples of the first's."""
    calls = {label: session(file) for label, file in files.items()}
    seconds: dict[str, list[float]] = {label: [] for label in calls}
    for _ in range(ROUNDS + 1):  # of which the first is not representative
        for label, call in calls.items():
            began = perf_counter()
            call()
            seconds[label].append(perf_counter() - began)
    medians = {label: median(taken[1:]) for label, taken in seconds.items()}
    first = next(iter(medians.values()))
    rows = [
        f"| {name} | {label} | {1000 * taken:.1f} | {first / taken:.2f} |"
        for label, taken in medians.items()
    ]
    print("\n".join(rows), flush=True)
    return rows


def session(file: Path) -> Callable[[], object]:

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    opened = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (taken,) = opened.get_inputs()
    images = torch.rand(1, 3, 224, 224).numpy()
    return lambda: opened.run(None, {taken.name: images})


def write(name: str, about: str, rows: Sequence[str]) -> None:

    packages = ", ".join(f"{p} {version(p)}" for p in ("torch", "onnxscript", "onnxruntime"))
    made = f"{device_name(torch.device('cpu'))}, {packages}, {date.today()}"
    text = "\n".join([f"# {name}", "", about, "", *rows, "", made, ""])
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
