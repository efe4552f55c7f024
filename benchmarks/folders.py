"""From JPEG files to batches, and to errors."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from harness import Bar, Contest, Ready, Work, peer
from loaders import MEAN, STD, PerImage, loader, photographs, random_flip, random_resized_crop
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
from classicnets.training.execution.inference import Inference
from classicnets.training.execution.step import Execution, resolve_execution
from classicnets.training.run.directory import open_run

SIZE, BATCH = (500, 375), 64
WORKERS = 2  # theirs; ours reads with as many threads
SCALING = Scaling(
    tuple(1 / (255 * std) for std in STD), tuple(-m / s for m, s in zip(MEAN, STD, strict=True))
)


def emptied(batches: Callable[[], Iterable[Tensor]]) -> Ready:
    """A pass over batches, and as output the mean and deviation of what they hold, by channel.

    Each draws its own windows, so that no more than that can agree.
    """

    def once() -> None:
        for _ in batches():
            pass

    def output() -> Tensor:
        deviation, mean = torch.std_mean(torch.cat(list(batches())), (0, 2, 3))
        return torch.cat([deviation, mean])

    return Ready(once, output)


def image_folder(count: int) -> Ready:
    datasets, t = peer("torchvision.datasets"), peer("torchvision.transforms")
    steps = [t.RandomResizedCrop(224), t.RandomHorizontalFlip(), t.ToTensor()]
    data = datasets.ImageFolder(
        written(count) / "train", t.Compose([*steps, t.Normalize(MEAN, STD)])
    )
    return emptied(partial(pictures_of, loader(data, BATCH, WORKERS)))


def by_hand(count: int) -> Ready:
    """What ImageFolder and torchvision's transforms do, in Pillow."""
    paths = sorted((written(count) / "train").rglob("*.jpg"))
    labels = [CLASSES.index(path.parent.name) for path in paths]
    data = PerImage(paths, labels, (random_resized_crop, random_flip), MEAN, STD)
    return emptied(partial(pictures_of, loader(data, BATCH, WORKERS)))


def pictures_of(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    return (x for x, _ in batches)


def from_files(count: int) -> Ready:
    """GoogLeNet's windows, cut while decoding."""
    images = open_data(str(written(count)), 256, 3, whole=True).train
    return emptied(partial(streamed, images, RandomResizedCrop()))


def from_packed(count: int) -> Ready:
    """AlexNet's windows, out of squares of 256 pixels in one file."""
    if not Path("photographs.pack").exists():
        cn.pack(str(written(count)), "photographs.pack", side=256)
    images = open_data("photographs.pack", 256, 3).train
    return emptied(partial(streamed, images, RandomCrop()))


def streamed(
    images: Images | ImageFiles, window: RandomResizedCrop | RandomCrop
) -> Iterator[Tensor]:
    chance = torch.Generator().manual_seed(0)
    order = torch.randperm(len(images), generator=chance)
    windows = window.sample(images.sizes[order], 256, 224, chance)
    requests = zip(order.split(BATCH), windows.split(BATCH), strict=True)
    for x, _ in stream(images, requests, 224):
        yield SCALING(HorizontalFlip()(x, chance))


def written(count: int) -> Path:
    """The training part; validation and test have a picture of each class."""
    for part, n in (("val", len(CLASSES)), ("test", len(CLASSES)), ("train", count)):
        photographs(f"photographs/{part}", n, CLASSES, SIZE)
    return Path("photographs")


def evaluation(count: int) -> Ready:
    """The whole of it: weights read, pictures decoded, errors counted."""
    data = str(trained(count) / "train")
    judge = partial(cn.evaluate, "run", data=data, protocol="single")
    return Ready(judge, lambda: [judge().top1_error])


def pure_inference(count: int, precision: str) -> Ready:
    """The same network on the same pictures, which lie ready as the numbers it reads."""
    data = str(trained(count) / "train")
    facts, network = open_run(Path("run")).config, cn.load("run")
    images = open_test(data, facts.side, 3, facts.classes)
    windows = centre_boxes(images.sizes, facts.side, facts.input[-1])
    x = facts.scaling(images.crop(torch.arange(count), windows, facts.input[-1]))
    execution, _ = resolve_execution(Execution(precision=precision), network, facts.input, BATCH)
    ready, parts = Inference(network, execution), x.split(BATCH)

    def once() -> Tensor:
        return torch.cat([ready(part).argmax(1) for part in parts])

    def output() -> list[float]:
        return [100 * (once() != images.labels).float().mean().item()]

    return Ready(once, output, precision)


def trained(count: int) -> Path:
    """The photographs, once there is a run whose network has seen a few pictures."""
    if not Path("run").exists():
        cn.train("resnet18", shapes(12, side=256), epochs=1, out="run").finish()
    return written(count)


def contests(quick: bool) -> tuple[Contest, ...]:
    count, judged = (32, 8) if quick else (1024, 512)
    folder = "ImageFolder + DataLoader"
    by_chance = dict.fromkeys(("fp32", "bf16"), 0.15)
    sides = {
        folder: partial(image_folder, count),
        "the same in Pillow": partial(by_hand, count),
        "classicnets, files": partial(from_files, count),
        "classicnets, packed": partial(from_packed, count),
    }
    bars = (Bar("classicnets, files", 1.5, folder), Bar("classicnets, packed", 5.0, folder))
    size = "x".join(map(str, SIZE))
    about = f"JPEG files of {size} to augmented crops of 224 pixels, {WORKERS} at a time"
    ready = "ready pictures, fp32"
    judges = {
        ready: partial(pure_inference, judged, "fp32"),
        "ready pictures, bf16": partial(pure_inference, judged, "bf16"),
        "classicnets evaluate": partial(evaluation, judged),
    }
    bar, cost = (
        (Bar("classicnets evaluate", 0.9, ready),),
        partial(inference_cost, "resnet18", judged),
    )
    read = Work(f"{count:,} pictures", sides, bars, tolerance=by_chance)
    errors = Work(f"{judged} pictures", judges, bar, cost, by_chance)
    beside = "ResNet-18 on a folder of JPEG files, beside scores for pictures that lie ready"
    return Contest("input", about, (read,)), Contest("evaluation", beside, (errors,))
