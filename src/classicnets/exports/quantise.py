"""8-bit integers in ONNX, by ONNX Runtime's static quantisation."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from .job import INPUT

WEIGHTED = ("Conv", "Gemm", "MatMul")


def quantise(path: Path, calibration: Iterable[np.ndarray]) -> None:
    """Quantises a file in place: weights for each output map, activations by their extremes over
    the calibration images. What comes before the first layer with weights stays as it is.
    """
    import onnx  # noqa: PLC0415  # an extra
    from onnxruntime.quantization import (  # noqa: PLC0415
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    class Batches(CalibrationDataReader):
        def __init__(self):
            self.batches = iter(calibration)

        def get_next(self) -> Any:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    with TemporaryDirectory(dir=path.parent) as scratch:
        ready = Path(scratch) / "ready.onnx"
        quant_pre_process(path, ready, skip_symbolic_shape=True)
        model = onnx.load(ready)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        quantize_static(
            ready,
            path,
            Batches(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_before_weights(model.graph),
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def _before_weights(graph: Any) -> list[str]:
    """The nodes before the first with weights: of preprocessing, where there is one."""
    weights = {tensor.name for tensor in graph.initializer if len(tensor.dims) > 1}
    names = []
    for node in graph.node:
        if node.op_type in WEIGHTED and weights & set(node.input):
            break
        names.append(node.name)
    return names
