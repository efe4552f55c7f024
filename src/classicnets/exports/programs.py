"""Programs of torch.export, which need neither this package nor the network's code."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from .job import Job
from .modules import exportable
from .onnx_file import exporting, free_sizes


def write(job: Job, path: Path) -> None:
    """Writes the program; each entry of the metadata is one of its extra files.

    Raises a ValueError for a network that cannot be exported.
    """
    with exporting(job.network), torch.no_grad():
        module, example = exportable(job, standard_lrn=True)
        program = torch.export.export(module, (example,), dynamic_shapes=free_sizes(job))
        torch.export.save(program, path, extra_files=job.metadata)


def open_file(path: Path, job: Job) -> Any:
    """The scores of a batch by the program."""
    with exporting(job.network):
        module = torch.export.load(path).module()

    @torch.no_grad()
    def scores(images: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(images)).numpy()

    return scores
