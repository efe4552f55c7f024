"""The public function `export`: a run as a file of another engine, compared with `predict`."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from classicnets.data.crops import centre_boxes
from classicnets.data.decode import as_square, read_images
from classicnets.data.given import list_items
from classicnets.data.images import ImageFiles, Images, evenly_spaced
from classicnets.data.scaling import Scaling
from classicnets.data.sets import open_data
from classicnets.exports.comparison import (
    BATCHES,
    MOST,
    OF_BYTES,
    ROUNDINGS,
    TOLERANCE,
    Batch,
    Export,
    compare_scores,
    rounding_of,
    time_both,
)
from classicnets.exports.formats import FORMATS, Format, find_format
from classicnets.exports.job import Job
from classicnets.support.arguments import answering
from classicnets.support.errors import plain_reason
from classicnets.support.files import exists, read_named, require_place
from classicnets.support.modules import copy_network
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import DESIGN, Run

from .opened import open_trained
from .run_data import is_data_of, place_of_data
from .runs import Source, for_inference, load_best

CALIBRATION, BATCH = 128, 8  # images of training that int8 sees, so many at a time
INT8_ROUNDS = 5  # more images, since a few may answer otherwise
# height and width as multiples of the run's side, for images of each batch: as it is, much larger
# with an odd rest, and smaller
SIZES = ((1.0, 1.0), (1.27, 2.0), (0.9, 0.75))


@answering()
def export(
    run: str | Path,
    out: str | Path,
    format: str = "",
    precision: str = "fp32",
    with_preprocessing: bool = False,
    fold: bool = True,
    network: Source = None,
    data: str | Path | None = None,
    exist_ok: bool = False,
) -> Export:
    """Writes the network of a run to the new file `out`, and compares it with `predict`.

    The `format` is onnx, torch-export, openvino or safetensors, by default that of the name's
    ending; the `precision` fp32, fp16 or int8, whose ranges are those of images of training. The
    file takes `images`, (n, c, h, w) as the run scales them, and gives `scores`, (n, classes); n is
    free. `with_preprocessing` it takes bytes, (n, h, w, c) of any size, and resizes, crops and
    scales them as `predict` does. `fold` puts batch normalisation into convolutions. `data` are
    images to compare and to choose ranges with where the run's are gone.

    Raises a ValueError for an unknown format or precision, a file that exists (unless `exist_ok`),
    a missing folder or package, a network that cannot be exported, and a file that disagrees with
    `predict`, which is not kept; and where `load` does.
    """
    path = Path(out).expanduser()
    found = find_format(format or _format_of(path), precision, with_preprocessing)
    require_place(path, found.suffix, f"a file of {found.name}", exist_ok)
    found.require_packages()
    opened = open_trained(run)
    module = load_best(opened, network)
    images = _images(opened, None if data is None else str(data), precision == "int8")
    design = opened.directory / DESIGN
    job = Job(
        module,
        opened.config,
        precision,
        with_preprocessing,
        fold,
        calibration=[
            _as_taken(x, opened.config, with_preprocessing) for x in images.calibration.split(BATCH)
        ],
        notes=opened.notes,
        design=read_named(design).decode() if exists(design) else "",
    )
    with _folder_beside(path) as scratch:
        written = scratch / path.name
        found.write(job, written)
        result = _compared(job, found, written, path, images)
        if not result.difference <= result.tolerance:
            raise ValueError(
                f"{path} is not kept: its scores differ from those of predict by "
                f"{result.difference:.1e} of the largest, and {result.tolerance:.2g} is allowed"
                f"{result.because} ({result.agreed} of {result.images} answers agree)"
            )
        for part in sorted(scratch.iterdir(), key=lambda p: p.name == path.name):
            part.replace(path.with_name(part.name))
    return result


class _Sample(NamedTuple):
    """Images at the run's side, to compare on and to choose the ranges of int8 by."""

    compared: UInt8[Tensor, "n c side side"]
    calibration: UInt8[Tensor, "m c side side"]
    source: str


def _format_of(path: Path) -> str:
    for one in FORMATS.values():
        if one.suffix == path.suffix:
            return one.name
    endings = ", ".join(one.suffix for one in FORMATS.values())
    raise ValueError(f"{path.name} says no format; name one, or end it in {endings}")


def _images(run: Run, data: str | None, calibrate: bool) -> _Sample:
    """Images of the run; random ones where they are gone and only compared on."""
    config = run.config
    count = sum(BATCHES) * (INT8_ROUNDS if calibrate else 1)
    try:
        if data is not None and Path(data).is_dir() and not is_data_of(config, data):
            return _in_folder(data, config, count)
        place = place_of_data(config) if data is None else data
        splits = open_data(place, config.side, config.input[0], allow_missing_classes=True)
    except (ValueError, OSError):
        if data is not None or calibrate:
            raise
        shape = (count, config.input[0], config.side, config.side)
        noise = torch.randint(256, shape, generator=torch.Generator().manual_seed(0))
        return _Sample(noise.byte(), noise.byte()[:0], "noise, for the run's images are gone")
    test, train = (
        _squares(images, number, config.side)
        for images, number in ((splits.test, count), (splits.train, CALIBRATION))
    )
    return _Sample(test, train, f"test images of {splits.name}")


def _squares(images: Images | ImageFiles, count: int, side: int) -> Tensor:
    """So many images, evenly spaced, and again from the first where there are fewer."""
    at = torch.arange(count) % max(1, len(images))
    if len(images) > count:
        at = evenly_spaced(len(images), count)
    return images.crop(at, centre_boxes(images.sizes[at], side, side), side)


def _in_folder(folder: str, config: RunConfig, count: int) -> _Sample:
    """Images anywhere in a folder, of whatever classes."""
    items = list_items(folder)
    chosen = evenly_spaced(len(items), CALIBRATION)
    sources = [items[i].source for i in chosen.tolist()]
    pixels, reasons = read_images(sources, config.side, config.input[0])
    readable = [i for i in range(len(sources)) if i not in reasons]
    if not readable:
        raise ValueError(reasons[min(reasons)])
    found = Images(pixels[readable], torch.zeros(len(readable), dtype=torch.long))
    compared = _squares(found, count, config.side)
    return _Sample(compared, found.pixels, f"images in {folder}")


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A folder from which a file takes its place at once; it is gone in the end."""
    try:
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:50]}-") as scratch:
            yield Path(scratch)
    except OSError as error:
        raise OSError(f"cannot write {path}: {plain_reason(error)}") from error


def _compared(job: Job, found: Format, written: Path, path: Path, images: _Sample) -> Export:
    batches = list(_batches(job, images.compared))
    engine = found.open(written, job)
    difference, agreed = compare_scores(batches, engine)
    largest = max(TOLERANCE[job.precision], OF_BYTES * job.with_preprocessing)
    rounding = 0.0
    if job.precision == "fp32" and largest < difference < math.inf:
        own = rounding_of(batches)
        if ROUNDINGS * own > largest:
            rounding, largest = own, min(ROUNDINGS * own, MOST)
    weights = (*job.network.parameters(), *job.network.buffers())
    parts = (part for part in written.parent.iterdir() if part.is_file())
    return Export(
        path,
        found.name,
        job.precision,
        found.opened_by,
        images.source,
        sum(len(batch.images) for batch in batches),
        difference,
        largest,
        agreed,
        time_both(batches[-1], engine),
        torch.get_num_threads(),
        (sum(p.stat().st_size for p in parts), 4 * sum(t.numel() for t in weights)),
        rounding,
    )


def _batches(job: Job, pixels: Tensor) -> Iterator[Batch]:
    """Batches of 1, 2 and 5 images, and what `predict` says of them; bytes of several sizes."""
    config = job.config
    ready = for_inference(job.network, config)
    double = cache(lambda: copy_network(job.network).double())
    start = k = 0
    while start < len(pixels):
        part = pixels[start : start + BATCHES[k % len(BATCHES)]]
        if job.with_preprocessing:
            resized = [_stretched(x, *SIZES[k % len(SIZES)]) for x in part]
            part = torch.stack([as_square(x, config.side, config.input[0]) for x in resized])
            shown = np.stack([np.asarray(x) for x in resized])
            shown = shown[..., None] if shown.ndim == 3 else shown
        else:
            shown = _as_taken(part, config)
        predict: Callable[[], np.ndarray] = partial(_predict, ready, part, config)
        yield Batch(shown, predict, partial(_exactly, double, part, config))
        start, k = start + len(part), k + 1


def _predict(ready: torch.nn.Module, pixels: Tensor, config: RunConfig) -> np.ndarray:
    return ready(_scaled(pixels, config, config.scaling)).numpy()


def _exactly(
    network: Callable[[], torch.nn.Module], pixels: Tensor, config: RunConfig
) -> np.ndarray:
    """The scores in float64."""
    with torch.no_grad():
        return network()(_scaled(pixels, config, config.scaling).double()).numpy()


def _stretched(x: Tensor, h: float, w: float) -> Image.Image:
    image = Image.fromarray(x.permute(1, 2, 0).squeeze(2).numpy())
    side = x.shape[1]
    return image.resize((round(side * w), round(side * h)), Image.Resampling.BILINEAR)


def _scaled(pixels: Tensor, config: RunConfig, scaling: Scaling) -> Tensor:
    """The centre crops of squares of the run's side, scaled."""
    images = Images(pixels, torch.zeros(len(pixels), dtype=torch.long))
    crop = config.input[1]
    boxes = centre_boxes(images.sizes, config.side, crop)
    return scaling(images.crop(torch.arange(len(images)), boxes, crop))


def _as_taken(pixels: Tensor, config: RunConfig, bytes_: bool = False) -> np.ndarray:
    """Squares of the run's side as a file takes them: as bytes, or cropped and scaled, by the means
    of the channels also where `predict` subtracts a mean image.
    """
    if bytes_:
        return pixels.permute(0, 2, 3, 1).numpy()
    return _scaled(pixels, config, replace(config.scaling, image=None)).numpy()
