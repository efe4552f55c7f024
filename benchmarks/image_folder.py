"""A folder of JPEG files: reading training batches from it, and evaluating on it."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from harness import Benchmark, Case, Contender, Target, peer
from loaders import MEAN, STD, PerImage, loader, random_flip, random_resized_crop, write_jpegs
from networks import inference_cost
from torch import Tensor

import classicnets as cn
from classicnets.data.augment import HorizontalFlip
from classicnets.data.crops import RandomCrop, RandomResizedCrop, centre_boxes
from classicnets.data.images import ImageFiles, Images
from classicnets.data.loader import stream
from classicnets.data.scaling import Scaling
from classicnets.data.sets import open_data, open_test
from classicnets.data.synthetic import CLASSES, shapes
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.inference import Inference
from classicnets.training.run.directory import open_run

SIZE, BATCH = (500, 375), 64
WORKERS = 2  # theirs; ours reads with as many threads
SCALING = Scaling(
    tuple(1 / (255 * std) for std in STD), tuple(-m / s for m, s in zip(MEAN, STD, strict=True))
)


def epoch_of(batches: Callable[[], Iterable[Tensor]]) -> Contender:
    """One epoch over the batches; the output is the mean and deviation per channel.

    Contenders draw different crops, so that only these statistics can agree.
    """

    def run() -> None:
        for _ in batches():
            pass

    def output() -> Tensor:
        deviation, mean = torch.std_mean(torch.cat(list(batches())), (0, 2, 3))
        return torch.cat([deviation, mean])

    return Contender(run, output)


def image_folder(count: int) -> Contender:
    datasets, t = peer("torchvision.datasets"), peer("torchvision.transforms")
    steps = [t.RandomResizedCrop(224), t.RandomHorizontalFlip(), t.ToTensor()]
    data = datasets.ImageFolder(
        photographs(count) / "train", t.Compose([*steps, t.Normalize(MEAN, STD)])
    )
    return epoch_of(partial(without_labels, loader(data, BATCH, WORKERS)))


def pillow(count: int) -> Contender:
    """The same as ImageFolder and torchvision's transforms, in Pillow."""
    paths = sorted((photographs(count) / "train").rglob("*.jpg"))
    labels = [CLASSES.index(path.parent.name) for path in paths]
    data = PerImage(paths, labels, (random_resized_crop, random_flip), MEAN, STD)
    return epoch_of(partial(without_labels, loader(data, BATCH, WORKERS)))


def without_labels(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    return (x for x, _ in batches)


def from_files(count: int) -> Contender:
    """GoogLeNet's crops, cut while decoding."""
    images = open_data(str(photographs(count)), 256, 3, whole=True).train
    return epoch_of(partial(augmented, images, RandomResizedCrop()))


def from_packed(count: int) -> Contender:
    """AlexNet's crops, from 256x256 images in one packed file."""
    if not Path("photographs.pack").exists():
        cn.pack(str(photographs(count)), "photographs.pack", side=256)
    images = open_data("photographs.pack", 256, 3).train
    return epoch_of(partial(augmented, images, RandomCrop()))


def augmented(
    images: Images | ImageFiles, sampler: RandomResizedCrop | RandomCrop
) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(images), generator=generator)
    boxes = sampler.sample(images.sizes[order], 256, 224, generator)
    requests = zip(order.split(BATCH), boxes.split(BATCH), strict=True)
    for x, _ in stream(images, requests, 224):
        yield SCALING(HorizontalFlip()(x, generator))


def photographs(count: int) -> Path:
    """A folder with `count` training images, and one of each class for validation and test."""
    for part, n in (("val", len(CLASSES)), ("test", len(CLASSES)), ("train", count)):
        write_jpegs(f"photographs/{part}", n, CLASSES, SIZE)
    return Path("photographs")


def evaluation(count: int) -> Contender:
    """The whole evaluation: reads weights, decodes images, counts errors."""
    data = str(trained(count) / "train")
    evaluate = partial(cn.evaluate, "run", data=data, protocol="single")
    return Contender(evaluate, lambda: [evaluate().top1_error])


def pure_inference(count: int, precision: str) -> Contender:
    """The same network on the same images, already decoded, cropped and scaled."""
    data = str(trained(count) / "train")
    config, network = open_run(Path("run")).config, cn.load("run")
    images = open_test(data, config.side, 3, config.classes).images
    boxes = centre_boxes(images.sizes, config.side, config.input[-1])
    x = config.scaling(images.crop(torch.arange(count), boxes, config.input[-1]))
    execution, _ = resolve_execution(Execution(precision=precision), network, config.input, BATCH)
    inference, parts = Inference(network, execution), x.split(BATCH)

    def run() -> Tensor:
        return torch.cat([inference(part).argmax(1) for part in parts])

    def output() -> list[float]:
        return [100 * (run() != images.labels).float().mean().item()]

    return Contender(run, output, precision)


def trained(count: int) -> Path:
    """The photographs, after training a network for a few steps into "run" unless it exists."""
    if not Path("run").exists():
        cn.train("resnet18", shapes(12, side=256), epochs=1, out="run").finish()
    return photographs(count)


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    count, evaluated = (32, 8) if quick else (1024, 512)
    folder, preloaded = "ImageFolder + DataLoader", "preloaded images, fp32"
    loose = dict.fromkeys(("fp32", "bf16"), 0.15)  # crops are random, and errors jump
    readers = {
        folder: partial(image_folder, count),
        "the same with Pillow": partial(pillow, count),
        "classicnets, files": partial(from_files, count),
        "classicnets, packed": partial(from_packed, count),
    }
    faster = (Target("classicnets, files", 1.5, folder), Target("classicnets, packed", 5.0, folder))
    evaluations = {
        preloaded: partial(pure_inference, evaluated, "fp32"),
        "preloaded images, bf16": partial(pure_inference, evaluated, "bf16"),
        "classicnets evaluate": partial(evaluation, evaluated),
    }
    targets = (Target("classicnets evaluate", 0.9, preloaded),)
    cost = partial(inference_cost, "resnet18", evaluated)
    reading = Case(f"{count:,} images", readers, faster, tolerance=loose)
    errors = Case(f"{evaluated} images", evaluations, targets, cost, loose)
    size = "x".join(map(str, SIZE))
    return (
        Benchmark(
            "input",
            f"JPEG files of {size} pixels to augmented crops of 224 pixels, {WORKERS} workers",
            (reading,),
        ),
        Benchmark(
            "evaluation",
            "ResNet-18 on a folder of JPEG files, compared with inference on preloaded images",
            (errors,),
        ),
    )
