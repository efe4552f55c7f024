"""A file of weights that `export` wrote, as a run again."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from classicnets import catalog
from classicnets.exports.weights_file import Kept, fill
from classicnets.training.run.directory import DESIGN, Run, create


def restore(network: str, path: Path, kept: Kept, out: Path, exist_ok: bool = False) -> Run:
    """Writes the run directory of exported weights: its network, classes and scaling, not its
    epochs; with `exist_ok` in the place of the run there.

    Raises a ValueError for weights of another network, and of one of your own, whose code is
    elsewhere.
    """
    name = kept.config.network
    if not kept.design and name not in catalog.CATALOG:
        raise ValueError(
            f"{path} holds weights of your own network {name}; load them into it with "
            "safetensors.torch.load_file"
        )
    if _plain_name(network) != (own := _plain_name(name)):
        raise ValueError(
            f"{path} holds weights of {own}, not of {network}; name {own} in its place"
        )
    config = kept.config
    with torch.device("meta"):
        module = _entry(kept).build(classes=len(config.classes), channels=config.input[0])
    fill(module, kept, path)
    notes = {"ended": True, "parameters": sum(p.numel() for p in module.parameters())}
    run = create(out, config, exist_ok=exist_ok, design=kept.design, **notes | kept.notes)
    run.save_weights(module)
    run.note_unchanged()
    return run


def _plain_name(network: str) -> str:
    """A name of the catalogue whatever its spelling; of a design its file's."""
    path = Path(network)
    return path.name if path.suffix == ".net" else catalog.find(network).name


def _entry(kept: Kept) -> catalog.Entry:
    if not kept.design:
        return catalog.find(kept.config.network)
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / DESIGN
        file.write_text(kept.design, encoding="utf-8")
        return catalog.from_design(file)
