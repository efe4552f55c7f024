"""Scores for pictures that lie ready: ours, the zoos', and the engines that only infer."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import place
import torch
from harness import Bar, Contest, Make, Ready, Work, peer
from networks import inference_cost, ours, pictures, plain
from steps import ZOO, set_up, timm, torchvision
from torch import Tensor, nn

from classicnets.training.execution.graph import WARM
from classicnets.training.execution.inference import Inference
from classicnets.training.execution.step import Execution, resolve_execution

NAMES = ("resnet18", "resnet50", "vgg_d", "googlenet", "alexnet")


def classicnets(name: str, batch: int, precision: str = "fp32") -> Ready:
    """As the package executes a network in evaluation."""
    network = ours(name).to(place.device)
    x, _ = pictures(name, batch)
    shape = (x.shape[1], x.shape[2], x.shape[3])
    execution = Execution(precision, accumulation_steps=1)
    execution, _ = resolve_execution(execution, network, shape, batch)
    once = partial(Inference(network, execution), x)
    for _ in range((WARM + 1) * bool(execution.graph)):  # until it is recorded
        once()
    return Ready(once, once, precision if precision == "bf16" else place.full())


def eager(
    name: str, batch: int, build: Callable[[nn.Module], nn.Module], setting: str = "default"
) -> Ready:
    """As people write it; for `setting` see `eager_step`."""
    x, _ = pictures(name, batch)
    called, x = set_up(build(ours(name)).to(place.device).eval(), x, setting)
    half = setting != "default"

    @torch.no_grad()
    def once() -> Tensor:
        with torch.autocast(place.device.type, torch.bfloat16, enabled=half):
            return called(x)

    return Ready(once, lambda: once().float(), "bf16" if half else place.full())


def exported(name: str, batch: int) -> str:
    """Our network as an ONNX file, written by whichever engine comes first."""
    file = f"{name}-{batch}.onnx"
    if not Path(file).exists():
        opset = peer("onnxscript").opset18
        peer("onnx")

        def lrn(x, size: int, alpha: float, beta: float, k: float):
            return opset.LRN(x, size=size, alpha=alpha * size, beta=beta, bias=k)

        x, _ = pictures(name, batch)
        table = {torch.ops.classicnets.lrn.default: lrn}
        torch.onnx.export(
            ours(name).eval(), (x,), file, verbose=False, custom_translation_table=table
        )
    return file


def onnxruntime(name: str, batch: int) -> Ready:
    runtime = peer("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(
        exported(name, batch), options, providers=["CPUExecutionProvider"]
    )
    given = {session.get_inputs()[0].name: pictures(name, batch)[0].numpy()}
    return Ready(lambda: session.run(None, given)[0], lambda: session.run(None, given)[0])


def openvino(name: str, batch: int, precision: str = "fp32") -> Ready:
    engine = peer("openvino")
    settings = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = engine.Core().compile_model(exported(name, batch), "CPU", settings)
    x = pictures(name, batch)[0].numpy()
    return Ready(lambda: compiled(x)[0], lambda: compiled(x)[0], precision)


def contests(quick: bool) -> tuple[Contest, ...]:
    settings = ("default", "AMP") if quick else ("default", "AMP", "compiled")
    works = []
    for name in NAMES:
        for batch in (1,) if quick else (1, 16):
            zoos = (torchvision, timm) if name in ZOO else ()  # other networks bear these names
            first = "torchvision, default" if zoos else "plain torch, default"
            sides: dict[str, Make] = {
                f"{zoo.__name__}, {setting}": partial(
                    eager, name, batch, partial(zoo, name), setting
                )
                for zoo in zoos
                for setting in settings
            }
            sides |= {
                "plain torch, default": partial(eager, name, batch, plain),
                "ONNX Runtime": partial(onnxruntime, name, batch),
                "OpenVINO, fp32": partial(openvino, name, batch),
                "OpenVINO, bf16": partial(openvino, name, batch, "bf16"),
                "classicnets, fp32": partial(classicnets, name, batch),
                "classicnets, bf16": partial(classicnets, name, batch, "bf16"),
            }
            bars = (
                Bar("classicnets, bf16", 2.0, first),
                Bar("classicnets, fp32", 0.95, "ONNX Runtime"),
                Bar("classicnets, fp32", 0.95, "OpenVINO, fp32"),
            )
            cost = partial(inference_cost, name, batch)
            works.append(Work(f"{name}, batch {batch}", sides, bars, cost))
    return (Contest("inference", "Scores for pictures that lie ready", tuple(works)),)
