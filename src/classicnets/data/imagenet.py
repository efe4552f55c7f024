"""ImageNet in the layout of the ILSVRC, and Imagenette, a subset of ten easy classes.

Classes are WordNet ids, sorted. The published validation split is the test split here, since the
papers report their errors on it; a validation split is split off from the training images.
"""

import csv
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from .download import Remote, cache, damage_reported, fetch, gunzip, locked
from .files import LeftOut, list_folders
from .folder import label_files, list_folder
from .listing import LabelledFiles, Listing
from .matlab import read_mat

IMAGENETTE = Remote(
    "imagenette2-320.tgz",
    "3df6f0d01a2c9592104656642f5e78a3",
    ("https://s3.amazonaws.com/fast-ai-imageclas/",),
)
SOLUTION = "LOC_val_solution.csv"
TRUTH, SYNSETS = "data/ILSVRC2012_validation_ground_truth.txt", "data/meta.mat"
FLAT = "ILSVRC2012_val_{:08}.JPEG"
VALIDATION = 50  # images of each class, as in the published validation split


def list_imagenette() -> Listing:
    """Imagenette 2 (Howard 2019) at 320 pixels: 9,469 and 3,925 images of ten classes."""
    folder = cache() / "imagenette"
    unpacked = folder / "imagenette2-320"
    if not unpacked.exists():
        archive = fetch(IMAGENETTE, "imagenette")
        with locked("imagenette"):
            if not unpacked.exists():
                _unpack(archive, unpacked)
    found = list_folder(unpacked)
    if "val" not in found.splits:
        raise ValueError(f"{unpacked} has no folder val; delete it to unpack the archive again")
    splits = {"train": found.splits["train"], "test": found.splits["val"]}
    return Listing(unpacked, found.classes, splits, {"val": 0.1})


def _unpack(archive: Path, unpacked: Path) -> None:
    """Unpacks the archive's folder of this name, completely or not at all."""
    with damage_reported(archive), TemporaryDirectory(dir=unpacked.parent) as partial:
        with tarfile.open(fileobj=gunzip(archive)) as tar:
            tar.extractall(partial, filter="data")
        if not (Path(partial) / unpacked.name).is_dir():
            raise ValueError(f"it has no folder {unpacked.name}")
        (Path(partial) / unpacked.name).rename(unpacked)


def list_imagenet(root: Path) -> Listing:
    """The layout of the ILSVRC: `train/` with class folders, `val/` with class folders or flat.

    Raises a ValueError for another layout, or when the flat images have no labels.
    """
    for name in ("train", "val"):
        if not (root / name).is_dir():
            raise ValueError(
                f"{root} has no folder {name}; ImageNet has train and val, or is as downloaded"
            )
    classes = tuple(list_folders(root / "train"))
    if not classes:
        raise ValueError(f"{root / 'train'} has no class folders")
    left_out: LeftOut = []
    if list_folders(root / "val"):
        test = label_files(root / "val", classes, left_out)
    else:
        test = label_flat(root, classes)
    splits = {"train": label_files(root / "train", classes, left_out), "test": test}
    return Listing(root, classes, splits, {"val": VALIDATION}, left_out=left_out)


def label_flat(root: Path, classes: tuple[str, ...]) -> LabelledFiles:
    """The images directly in `val/`, labelled by Kaggle's solution or the development kit."""
    near = (root, root / "val", *root.absolute().parents[:3])
    kits = (root, root / "ILSVRC2012_devkit_t12", root.parent / "ILSVRC2012_devkit_t12")
    solution = next((f / SOLUTION for f in near if (f / SOLUTION).is_file()), None)
    kit = next((f for f in kits if (f / TRUTH).is_file() and (f / SYNSETS).is_file()), None)
    if solution is not None:
        with solution.open(newline="") as file:
            rows = csv.DictReader(file)
            named = [(f"{r['ImageId']}.JPEG", r["PredictionString"].split()[0]) for r in rows]
    elif kit is not None:
        ids = _synsets(kit / SYNSETS)
        numbers = (kit / TRUTH).read_text().split()
        named = [(FLAT.format(k), ids[int(number)]) for k, number in enumerate(numbers, 1)]
    else:
        raise ValueError(
            f"{root / 'val'} has no class folders, and its images have no labels: put {SOLUTION} "
            f"or the development kit's data folder into {root}"
        )
    labels = {wnid: k for k, wnid in enumerate(classes)}
    if unknown := next((wnid for _, wnid in named if wnid not in labels), None):
        raise ValueError(
            f"{root / 'val'} has the class {unknown!r}, which the training split lacks"
        )
    return [(str(root / "val" / name), labels[wnid]) for name, wnid in named]


def _synsets(path: Path) -> dict[int, str]:
    """Number -> WordNet id, from the development kit."""
    try:
        numbers, ids = read_mat(path, "synsets.ILSVRC2012_ID", "synsets.WNID")
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return {int(number): str(wnid) for number, wnid in zip(numbers, ids, strict=True)}
