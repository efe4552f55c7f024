"""OpenVINO's own files, made of ONNX."""

import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from . import onnx_file
from .job import INPUT, OUTPUT, Job

# without it a CPU with bf16 computes in bf16, and resizes by positions of 8 bits
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def write(job: Job, path: Path) -> None:
    """Writes the network, and beside it a file of the same name, ending in .bin, with the weights.

    Raises a ValueError for a network that cannot be exported.
    """
    openvino = _openvino()
    with TemporaryDirectory(dir=path.parent) as scratch:
        middle = Path(scratch) / "network.onnx"
        onnx_file.write(job, middle)
        model = openvino.Core().read_model(middle)
        for name, value in job.metadata.items():
            model.set_rt_info(value, ["classicnets", name])
        openvino.save_model(model, path, compress_to_fp16=job.precision == "fp16")


def open_file(path: Path, job: Job) -> Any:
    """The scores of a batch by OpenVINO, on as many threads as torch has."""
    openvino = _openvino()
    core = openvino.Core()
    options = EXACT | {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(core.read_model(path), "CPU", options)

    def scores(images: np.ndarray) -> np.ndarray:
        return np.array(compiled({INPUT: images})[OUTPUT])

    return scores


def _openvino() -> Any:
    """The package, without the telemetry that it would send as it is imported."""
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    sys.modules[name] = None  # pyright: ignore[reportArgumentType]  # so that its stub is used
    try:
        return import_module("openvino")
    finally:
        del sys.modules[name]
        if before:
            sys.modules[name] = before
