"""Inference on preloaded images: this package, torchvision, timm, and inference-only engines."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import environment
import torch
from harness import Benchmark, Case, Contender, Target, peer
from networks import inference_cost, our_network, plain_torch, random_batch
from steps import ZOO, configure, zoo_contenders
from torch import Tensor, nn

from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.graph import WARMUP
from classicnets.training.execution.inference import Inference

NAMES = ("resnet18", "resnet50", "vgg_d", "googlenet", "alexnet")


def classicnets(name: str, batch: int, precision: str = "fp32") -> Contender:
    """As the package executes a network in evaluation."""
    network = our_network(name).to(environment.device)
    x, _ = random_batch(name, batch)
    shape = (x.shape[1], x.shape[2], x.shape[3])
    execution = Execution(precision, accumulation_steps=1)
    execution, _ = resolve_execution(execution, network, shape, batch)
    run = partial(Inference(network, execution), x)
    for _ in range((WARMUP + 1) * bool(execution.graph)):  # until the CUDA graph is recorded
        run()
    return Contender(run, run, environment.reported_precision(precision))


def eager(
    name: str, batch: int, build: Callable[[nn.Module], nn.Module], setting: str = "default"
) -> Contender:
    """The usual inference code; `setting` is as in `eager_step`."""
    x, _ = random_batch(name, batch)
    model, x = configure(build(our_network(name)).to(environment.device).eval(), x, setting)
    autocast = setting != "default"

    @torch.no_grad()
    def run() -> Tensor:
        with torch.autocast(environment.device.type, torch.bfloat16, enabled=autocast):
            return model(x)

    precision = "bf16" if autocast else environment.float32()
    return Contender(run, lambda: run().float(), precision)


def export_onnx(name: str, batch: int) -> str:
    """Exports our network as an ONNX file, unless another engine's process has."""
    file = f"{name}-{batch}.onnx"
    if not Path(file).exists():
        opset = peer("onnxscript").opset18
        peer("onnx")

        def lrn(x, size: int, alpha: float, beta: float, k: float):
            return opset.LRN(x, size=size, alpha=alpha * size, beta=beta, bias=k)

        x, _ = random_batch(name, batch)
        table = {torch.ops.classicnets.lrn.default: lrn}
        torch.onnx.export(
            our_network(name).eval(), (x,), file, verbose=False, custom_translation_table=table
        )
    return file


def onnxruntime(name: str, batch: int) -> Contender:
    runtime = peer("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(
        export_onnx(name, batch), options, providers=["CPUExecutionProvider"]
    )
    inputs = {session.get_inputs()[0].name: random_batch(name, batch)[0].numpy()}
    return Contender(lambda: session.run(None, inputs)[0], lambda: session.run(None, inputs)[0])


def openvino(name: str, batch: int, precision: str = "fp32") -> Contender:
    engine = peer("openvino")
    settings = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = engine.Core().compile_model(export_onnx(name, batch), "CPU", settings)
    x = random_batch(name, batch)[0].numpy()
    return Contender(lambda: compiled(x)[0], lambda: compiled(x)[0], precision)


def benchmarks(quick: bool) -> tuple[Benchmark, ...]:
    settings = ("default", "AMP") if quick else ("default", "AMP", "compiled")
    cases = []
    for name in NAMES:
        for batch in (1,) if quick else (1, 16):
            # their AlexNet and GoogLeNet differ from the published ones
            zoo = name in ZOO
            first = "torchvision, default" if zoo else "plain torch, default"
            contenders = zoo_contenders(eager, name, batch, settings) if zoo else {}
            contenders |= {
                "plain torch, default": partial(eager, name, batch, plain_torch),
                "ONNX Runtime": partial(onnxruntime, name, batch),
                "OpenVINO, fp32": partial(openvino, name, batch),
                "OpenVINO, bf16": partial(openvino, name, batch, "bf16"),
                "classicnets, fp32": partial(classicnets, name, batch),
                "classicnets, bf16": partial(classicnets, name, batch, "bf16"),
            }
            targets = (
                Target("classicnets, bf16", 2.0, first),
                Target("classicnets, fp32", 0.95, "ONNX Runtime"),
                Target("classicnets, fp32", 0.95, "OpenVINO, fp32"),
            )
            cost = partial(inference_cost, name, batch)
            cases.append(Case(f"{name}, batch {batch}", contenders, targets, cost))
    return (Benchmark("inference", "Inference on preloaded images", tuple(cases)),)
