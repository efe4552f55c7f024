"""Small valid inputs of every kind, from which hostile_inputs.py makes hostile ones."""

import io
import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import classicnets as cn
from classicnets.data.image_file import formats
from classicnets.support.errors import TrainingAdvice

SAVED = {"JPEG2000": "jp2", "JPEG": "jpg", "TIFF": "tif"}


def prepare(root: Path) -> None:
    """Writes the valid inputs once: images, a run that is half trained, and files made of them."""
    if (root / "ready").exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    (root / "formats").mkdir(parents=True)
    warnings.simplefilter("ignore", TrainingAdvice)
    rng = np.random.default_rng(0)
    for name in ("dark", "light"):
        (root / "photos" / name).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(0, 90, (20, 24, 3), np.uint8) + 150 * (name == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(root / "photos" / name / f"{k}.png")
    _formats(root / "formats", Image.open(root / "photos/light/1.png").convert("RGB"))
    (root / "net.net").write_text(cn.design("alexnet", "1/16", (3, 67, 67), 2))
    changes = {"batch": "4", "side": "67", "crop": "67"}
    training = cn.train(str(root / "net.net"), root / "photos", "fast", 2, root / "run",
                        overrides=changes)  # fmt: skip
    training.finish()
    whole = cn.train(str(root / "net.net"), root / "photos", "fast", 2, root / "half",
                     overrides=changes)  # fmt: skip
    for record in whole:
        if record.step == record.steps // 2 + 1:
            break
    whole.save()
    cn.pack(root / "photos", root / "photos.pack", side=16)
    cn.pack(root / "photos", root / "shards", shards=2)
    for name in ("lenet5", "alexnet", "vgg_a", "googlenet", "resnet20", "resnet18"):
        (root / f"{name}.net").write_text(cn.design(name, "1/8"))
    _weights(root)
    (root / "ready").touch()


def _formats(folder: Path, image: Image.Image) -> None:
    for name in sorted(set(formats()) & set(Image.SAVE)):
        for mode in ("RGB", "L", "P", "RGBA", "I;16", "1"):
            for options in ({}, {"progressive": True}) if name == "JPEG" else ({},):
                file = io.BytesIO()
                try:
                    image.convert("L" if mode == "I;16" else mode).convert(mode).save(
                        file, name, **options
                    )
                except (OSError, ValueError, KeyError, TypeError, AttributeError):
                    continue  # this format has no such mode
                ending = SAVED.get(name, name.lower())
                stem = f"{name}-{mode.replace(';', '')}{'-progressive' * bool(options)}"
                (folder / f"{stem}.{ending}").write_bytes(file.getvalue())


def _weights(root: Path) -> None:
    tensors = {f"conv{k}.weight": torch.randn(4, 3, 3, 3) for k in range(3)}
    torch.save(tensors, root / "new.pth")
    torch.save(tensors, root / "old.pth", _use_new_zipfile_serialization=False)
    save_file(tensors, root / "w.safetensors")
    blob = _field(7, _field(5, bytes(432)) + _field(7, _field(1, bytes([4, 3, 3, 3]))))
    layer = _field(1, b"conv1") + _field(2, b"Convolution") + blob
    (root / "w.caffemodel").write_bytes(_field(1, b"net") + _field(100, layer) * 3)
    with h5py.File(root / "w.h5", "w") as file:
        for k in range(3):
            file[f"conv{k}/conv{k}/kernel:0"] = np.zeros((3, 3, 3, 4), np.float32)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])
