"""What people load pictures with: one at a time, through Pillow, by torch's DataLoader.

Written from the description of the popular scripts, without torchvision, so that they run anywhere;
its own are used where it is here.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which all of them copy

Transform = Callable[[Image.Image], Image.Image]


class PerImage(Dataset):
    """Arrays or files, of which each picture is transformed, made a tensor and normalised."""

    def __init__(
        self,
        pictures: Sequence[np.ndarray | Path],
        labels: Sequence[int],
        transforms: Sequence[Transform],
        mean: Sequence[float],
        std: Sequence[float],
    ):
        self.pictures, self.labels, self.transforms = pictures, labels, transforms
        self.mean = torch.tensor(mean)[:, None, None]
        self.std = torch.tensor(std)[:, None, None]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        image = opened(self.pictures[i])
        for transform in self.transforms:
            image = transform(image)
        pixels = np.array(image)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        x = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div(255)
        return x.sub_(self.mean).div_(self.std), self.labels[i]


def opened(picture: np.ndarray | Path) -> Image.Image:
    if isinstance(picture, Path):
        with Image.open(picture) as image:
            return image.convert("RGB")
    return Image.fromarray(picture)


def random_crop(image: Image.Image, pad: int = 4) -> Image.Image:
    """A picture's size, out of the picture with a black border."""
    padded = ImageOps.expand(image, pad)
    left, top = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
    return padded.crop((left, top, left + image.width, top + image.height))


def random_flip(image: Image.Image) -> Image.Image:
    return ImageOps.mirror(image) if random.random() < 0.5 else image


def random_resized_crop(image: Image.Image, side: int = 224) -> Image.Image:
    """8 to 100 % of the area, 3/4 to 4/3 wide over high: GoogLeNet's, section 6."""
    for _ in range(10):
        area = image.width * image.height * random.uniform(0.08, 1)
        aspect = (4 / 3) ** random.uniform(-1, 1)
        w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if w <= image.width and h <= image.height:
            left, top = random.randint(0, image.width - w), random.randint(0, image.height - h)
            box = (left, top, left + w, top + h)
            return image.resize((side, side), Image.Resampling.BILINEAR, box)
    return ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)


def loader(data: Dataset, batch: int, workers: int) -> DataLoader:
    return DataLoader(data, batch, shuffle=True, num_workers=workers)


def noise(count: int, shape: tuple[int, ...], classes: int = 10) -> tuple[Tensor, Tensor]:
    """Pictures as bytes and their labels, the same in every process."""
    source = torch.Generator().manual_seed(2)
    pixels = torch.randint(256, (count, *shape), generator=source, dtype=torch.uint8)
    return pixels, torch.randint(classes, (count,), generator=source)


def photographs(folder: str, count: int, classes: tuple[str, ...], size: tuple[int, int]) -> Path:
    """A folder for each class of JPEG files as large as photographs of this size are.

    Coarse noise, enlarged, with a little fine noise; kept for whoever asks again.
    """
    root = Path(folder)
    if root.is_dir():
        return root
    draw = np.random.default_rng(3)
    for i in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
        grain = draw.integers(-12, 13, (*size[::-1], 1), dtype=np.int16)
        path = root / classes[i % len(classes)] / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = (smooth + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(path, quality=90)
    return root
