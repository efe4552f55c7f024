"""ImageNet as the ILSVRC gives it out, and Imagenette, its ten easy classes.

Classes are WordNet ids in order of name. The published validation part is the test part here, as
the papers' errors are measured on it; what a recipe watches in training is drawn from the training
pictures.
"""

import csv
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from scipy.io import loadmat

from .download import Remote, cache, fetch, locked, opening
from .folder import labelled, list_folder
from .listing import Listing

IMAGENETTE = Remote(
    "imagenette2-320.tgz",
    "3df6f0d01a2c9592104656642f5e78a3",
    ("https://s3.amazonaws.com/fast-ai-imageclas/",),
)
SOLUTION = "LOC_val_solution.csv"
TRUTH, SYNSETS = "data/ILSVRC2012_validation_ground_truth.txt", "data/meta.mat"
FLAT = "ILSVRC2012_val_{:08}.JPEG"
WATCHED = 50  # pictures of each class, as many as the published validation part has


def list_imagenette() -> Listing:
    """Imagenette 2 (Howard 2019) at 320 pixels: 9,469 and 3,925 pictures of ten classes."""
    folder = cache() / "imagenette"
    unpacked = folder / "imagenette2-320"
    if not unpacked.exists():
        archive = fetch(IMAGENETTE, "imagenette")
        with locked("imagenette"):
            if not unpacked.exists():
                _unpack(archive, unpacked)
    found = list_folder(unpacked)
    parts = {"train": found.parts["train"], "test": found.parts["val"]}
    return Listing(unpacked, found.classes, parts, {"val": 0.1})


def _unpack(archive: Path, unpacked: Path) -> None:
    """The folder of this name in the archive, which is there whole or not at all."""
    with opening(archive), TemporaryDirectory(dir=unpacked.parent) as half:
        with tarfile.open(archive, "r:gz") as held:
            held.extractall(half, filter="data")
        if not (Path(half) / unpacked.name).is_dir():
            raise ValueError(f"no folder {unpacked.name} in it")
        (Path(half) / unpacked.name).rename(unpacked)


def list_imagenet(root: Path) -> Listing:
    """The ILSVRC's layout: `train/` with class folders, and `val/` with class folders or flat.

    Raises a ValueError when it is another layout, or nothing says what the flat pictures show.
    """
    for name in ("train", "val"):
        if not (root / name).is_dir():
            raise ValueError(f"{root} holds no folder {name}; ImageNet has train and val")
    classes = tuple(sorted(p.name for p in (root / "train").iterdir() if p.is_dir()))
    if not classes:
        raise ValueError(f"{root / 'train'} holds no folder for a class")
    has_folders = any(path.is_dir() for path in (root / "val").iterdir())
    test = labelled(root / "val", classes) if has_folders else _flat(root, classes)
    train = labelled(root / "train", classes)
    return Listing(root, classes, {"train": train, "test": test}, {"val": WATCHED})


def _flat(root: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """The pictures directly in `val/`, whose classes the solution or the development kit tells."""
    near = (root, root / "val", *root.absolute().parents[:3])
    kits = (root, root / "ILSVRC2012_devkit_t12", root.parent / "ILSVRC2012_devkit_t12")
    solution = next((f / SOLUTION for f in near if (f / SOLUTION).is_file()), None)
    kit = next((f for f in kits if (f / TRUTH).is_file() and (f / SYNSETS).is_file()), None)
    if solution is not None:
        with solution.open(newline="") as file:
            rows = csv.DictReader(file)
            named = [(f"{r['ImageId']}.JPEG", r["PredictionString"].split()[0]) for r in rows]
    elif kit is not None:
        synsets = loadmat(kit / SYNSETS, squeeze_me=True)["synsets"]
        ids = {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in synsets}
        numbers = (kit / TRUTH).read_text().split()
        named = [(FLAT.format(k), ids[int(number)]) for k, number in enumerate(numbers, 1)]
    else:
        raise ValueError(
            f"{root / 'val'} holds no class folders, and nothing says what its pictures show: put "
            f"{SOLUTION} or the development kit's data folder into {root}"
        )
    if strange := next((wnid for _, wnid in named if wnid not in classes), None):
        raise ValueError(
            f"{root / 'val'} has the class {strange!r}, which the training part has not"
        )
    numbers = {wnid: k for k, wnid in enumerate(classes)}
    return [(root / "val" / name, numbers[wnid]) for name, wnid in named]
