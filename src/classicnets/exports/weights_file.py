"""The weights alone, with all that makes a run of them again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from classicnets.support.errors import plain_reason
from classicnets.support.modules import copy_network
from classicnets.support.tensors import find_difference, is_finite, map_tensors, read_metadata
from classicnets.training.recipe.serialization import from_json, parse_json, to_json
from classicnets.training.run.config import RunConfig, check_notes

from .job import Job
from .modules import Scores

KEY = "classicnets.export"  # of the metadata
MEAN = "mean image"  # a tensor of this name, where the recipe subtracts one
KEPT = ("test", "parameters", "published", "like")  # of the notes of a run


class Kept(NamedTuple):
    """What a file holds: the weights, and the run that they are of."""

    tensors: dict[str, Tensor]
    config: RunConfig
    notes: dict[str, Any]
    design: str


def write(job: Job, path: Path) -> None:
    """Writes the weights under our names, in fp16 halved, and the run's configuration."""
    dtype = torch.float16 if job.precision == "fp16" else torch.float32
    tensors = {
        name: (t.to(dtype) if t.is_floating_point() else t).clone().contiguous()
        for name, t in job.network.state_dict().items()
    }
    if (image := job.config.scaling.image) is not None:
        tensors[MEAN] = image.clone()
    notes = {name: value for name, value in (job.notes or {}).items() if name in KEPT}
    kept = {"config": to_json(job.config), "notes": notes, "design": job.design}
    metadata = job.metadata | {KEY: json.dumps(kept)}
    safetensors.torch.save_file(tensors, path, metadata)


def read_kept(path: Path) -> Kept | None:
    """What a file holds that was exported here; None of any other file of tensors.

    Raises a ValueError for a damaged one. Nothing in it is executed.
    """
    if not path.is_file():  # to open a pipe waits for who writes
        return None
    try:
        text = read_metadata(path).get(KEY)
    except (SafetensorError, OSError):  # of another format
        return None
    if text is None:
        return None
    try:
        content = _complete(parse_json(text))
        config = from_json(content["config"], RunConfig)
        config.check()
        check_notes(content["notes"])
        tensors = {name: _float32(t) for name, t in map_tensors(path).items()}
        image = tensors.pop(MEAN, None)
        if image is not None and image.shape != config.input:
            raise ValueError(f"its mean image is {tuple(image.shape)}, not {config.input}")
        if bad := next((name for name, t in tensors.items() if not is_finite(t)), ""):
            raise ValueError(f"{bad} holds NaN or infinite values")
        config = replace(config, scaling=replace(config.scaling, image=image))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {plain_reason(error)}") from error
    return Kept(tensors, config, content["notes"], content["design"])


def _complete(content: Any) -> dict[str, Any]:
    """What the metadata hold. Raises a ValueError where a part is missing or of another kind."""
    for name, kind in (("config", dict), ("notes", dict), ("design", str)):
        if not isinstance(content, dict) or not isinstance(content.get(name), kind):
            raise ValueError(f"its metadata say nothing of {name}")
    return content


def fill(network: nn.Module, kept: Kept, path: Path) -> None:
    """Gives the network these weights. Raises a ValueError for those of another one."""
    name, difference = find_difference(kept.tensors, network.state_dict())
    if name:
        raise ValueError(f"{path} does not fit {kept.config.network}: {name} {difference}")
    network.load_state_dict(kept.tensors, assign=True)


def open_file(path: Path, job: Job) -> Any:
    """The scores of a batch by a network with the weights of the file."""
    kept = read_kept(path)
    assert kept is not None
    network = copy_network(job.network)
    fill(network, kept, path)
    module = Scores(network.eval(), kept.config.scaling)

    @torch.no_grad()
    def scores(images: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(images)).numpy()

    return scores


def _float32(t: Tensor) -> Tensor:
    return t.float() if t.is_floating_point() else t
