"""What an export is made of, and what its file says of itself."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from torch import nn

from classicnets.data.scaling import Scaling
from classicnets.training.run.config import RunConfig

INPUT, OUTPUT = "images", "scores"


@dataclass(frozen=True)
class Job:
    """A network with its weights, in evaluation mode, and how it is wanted.

    `calibration` are batches of training images, as the file takes them, by which int8 chooses its
    ranges. `notes` are those
    of the run, `design` the text of the network's design, if it is one.
    """

    network: nn.Module
    config: RunConfig
    precision: str = "fp32"
    with_preprocessing: bool = False
    fold: bool = True
    calibration: Sequence[np.ndarray] = ()
    notes: dict[str, object] | None = None
    design: str = ""

    @property
    def metadata(self) -> dict[str, str]:
        """What a file says of its network: strings, of which lists are JSON."""
        config, scaling = self.config, self.config.scaling
        c, h, w = config.input
        layout = "n h w c, bytes, any h and w" if self.with_preprocessing else "n c h w, scaled"
        return {
            "network": Path(config.network).name,
            "classes": json.dumps(config.classes, ensure_ascii=False),
            "size": f"{c}x{h}x{w}",
            "side": str(config.side),
            "input": layout,
            "channels": "RGB" if c == 3 else "grey" if c == 1 else str(c),
            "mean": json.dumps(_means(scaling)),
            "scale": json.dumps(scaling.scale),
            "precision": self.precision,
            "data": Path(config.data).name,
            "made_by": f"classicnets {version('classicnets')}, torch {version('torch')}",
        }


def _means(scaling: Scaling) -> list[float]:
    """x = (pixel - mean) * scale, channel by channel."""
    pairs = zip(scaling.scale, scaling.shift, strict=True)
    return [-shift / scale if scale else 0.0 for scale, shift in pairs]
