"""Data loading as popular scripts do it: Pillow, one image at a time, in torch's DataLoader.

The transforms are written out in Pillow, so that they run without torchvision.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as in most scripts

Transform = Callable[[Image.Image], Image.Image]


class PerImage(Dataset):
    """Images in arrays or files, each transformed, converted to a tensor and normalised."""

    def __init__(
        self,
        images: Sequence[np.ndarray | Path],
        labels: Sequence[int],
        transforms: Sequence[Transform],
        mean: Sequence[float],
        std: Sequence[float],
    ):
        self.images, self.labels, self.transforms = images, labels, transforms
        self.mean = torch.tensor(mean)[:, None, None]
        self.std = torch.tensor(std)[:, None, None]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        image = open_image(self.images[i])
        for transform in self.transforms:
            image = transform(image)
        pixels = np.array(image)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        x = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div(255)
        return x.sub_(self.mean).div_(self.std), self.labels[i]


def open_image(source: np.ndarray | Path) -> Image.Image:
    if isinstance(source, Path):
        with Image.open(source) as image:
            return image.convert("RGB")
    return Image.fromarray(source)


def random_crop(image: Image.Image, pad: int = 4) -> Image.Image:
    """A crop of the same size from the image with `pad` black pixels around it."""
    padded = ImageOps.expand(image, pad)
    left, top = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
    return padded.crop((left, top, left + image.width, top + image.height))


def random_flip(image: Image.Image) -> Image.Image:
    return ImageOps.mirror(image) if random.random() < 0.5 else image


def random_resized_crop(image: Image.Image, side: int = 224) -> Image.Image:
    """8 to 100 % of the area, aspect ratio 3/4 to 4/3 (GoogLeNet, section 6)."""
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
    """Random uint8 images and labels, the same in every process."""
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)
    return pixels, torch.randint(classes, (count,), generator=generator)


def write_jpegs(folder: str, count: int, classes: tuple[str, ...], size: tuple[int, int]) -> Path:
    """Writes a folder of JPEG files for each class, unless it exists.

    Enlarged coarse noise with a little fine noise: about as many bytes as photographs of this size.
    """
    root = Path(folder)
    if root.is_dir():
        return root
    rng = np.random.default_rng(3)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
        grain = rng.integers(-12, 13, (*size[::-1], 1), dtype=np.int16)
        path = root / classes[i % len(classes)] / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = (smooth + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=90)
    return root
