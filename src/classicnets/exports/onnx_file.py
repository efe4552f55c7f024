"""ONNX by torch's exporter, opened by ONNX Runtime."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from classicnets.support.errors import one_line

from .job import INPUT, OUTPUT, Job
from .modules import exportable
from .quantise import quantise

OPSET = 18  # the one that torch's exporter translates to; what it says of it changes with torch


def write(job: Job, path: Path) -> None:
    """Writes the network with a free number of images; with bytes as input also of any size.

    Raises a ValueError for a network that cannot be exported.
    """
    with exporting(job.network):
        program = _export(job)
        model = program.model
        model.producer_name, model.producer_version = "classicnets", ""
        model.graph.name = job.metadata["network"]
        for one in (*model.graph.all_nodes(), *model.graph.initializers.values()):
            one.metadata_props.clear()  # lines of code, with the paths of this machine
        model.metadata_props.update(job.metadata | {"opset": str(OPSET)})
        program.save(path)
        if job.precision == "int8":
            quantise(path, job.calibration)


def open_file(path: Path, job: Job) -> Any:
    """The scores of a batch by ONNX Runtime, on as many threads as torch has."""
    import onnxruntime  # noqa: PLC0415  # an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def scores(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run([OUTPUT], {INPUT: images})[0])

    return scores


def free_sizes(job: Job) -> dict[str, dict[int, Dim]]:
    """Which sizes of the input are free: the number of images, and of bytes height and width."""
    names = ("n", "h", "w") if job.with_preprocessing else ("n",)
    return {INPUT: {i: Dim(name) for i, name in enumerate(names)}}


@contextmanager
def exporting(network: nn.Module) -> Iterator[None]:
    """Without what exporters say of packages that are not there and of their own code.

    Their errors become a ValueError that names the network.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # anything can happen in your own network
        reason = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise ValueError(
            f"{type(network).__name__} cannot be exported: {one_line(reason)}"
        ) from error
    finally:
        logging.disable(before)


def _export(job: Job) -> Any:
    module, example = exportable(job)
    return torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=free_sizes(job),
        custom_translation_table={torch.ops.classicnets.lrn.default: _lrn()},
        optimize=job.fold,
        verbose=False,
    )


def _lrn() -> Any:
    """Our response normalisation as the standard operator, which divides alpha by the window."""
    from onnxscript import opset18 as op  # noqa: PLC0415  # an extra

    def lrn(x: Any, size: int, alpha: float, beta: float, k: float) -> Any:
        return op.LRN(x, size=size, alpha=alpha * size, beta=beta, bias=k)

    return lrn
