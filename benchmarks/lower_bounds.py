"""The cost of a network on a GPU, layer by layer: arithmetic and memory traffic.

On a GPU some layers are bound by arithmetic and others by memory bandwidth, so the lower bound is
a sum over layers of whichever takes longer. In each pass a layer reads its input and writes its
output once: in the forward pass, for the gradients of its weights and, except in the first layer,
for those of its input. Operators that can be fused with a convolution cost only the passes over
their maps that remain in a training step: three for batch normalisation, four for an addition,
five for local response normalisation, one for a ReLU, or none where batch normalisation includes
it. Weights, which the whole batch shares, and their update are not counted.
"""

from dataclasses import dataclass

import torch
from harness import Cost
from torch import nn

from classicnets import catalog
from classicnets.measure import measure

SIZE = {"fp32": 4, "bf16": 2}  # bytes of an element
# passes over the maps in a training step
PASSES = {"BatchNorm2d": 3, "add": 4, "LocalResponseNorm": 5, "ReLU": 1}


@dataclass(frozen=True)
class Call:
    """One call of a layer on one image: elements read and written, multiply-adds."""

    type: str
    read: int
    written: int
    macs: int

    @property
    def moved(self) -> int:
        return self.read + self.written


def calls(name: str) -> list[Call]:
    """The layer calls of a network in the catalogue, without auxiliary heads."""
    entry, found = catalog.find(name), []

    def record(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        macs = 0
        if isinstance(layer, nn.Conv2d | nn.Linear):
            macs = output.numel() * layer.weight[0].numel()
        found.append(Call(type(layer).__name__, inputs[0].numel(), output.numel(), macs))

    with torch.device("meta"):
        network = entry.build().eval()
        report = measure(network, entry.input)
        for layer in network.modules():
            if not list(layer.children()):
                layer.register_forward_hook(record)
        network(torch.empty(1, *entry.input))
    sums = (torch.Size(row.output).numel() for row in report.layers if row.type == "add")
    return found + [Call("add", 2 * written, written, 0) for written in sums]


def inference_layer_costs(name: str, batch: int, precision: str = "bf16") -> Cost:
    """Batch normalisation, ReLU and addition are fused into the convolution before them."""
    costs, size = [], SIZE[precision] * batch
    for call in calls(name):
        if call.macs or "Pool" in call.type or call.type == "LocalResponseNorm":
            costs.append((2.0 * batch * call.macs, float(size * call.moved)))
        elif call.type == "add":
            costs.append((0.0, float(size * call.written)))
    return costs


def training_layer_costs(name: str, batch: int, precision: str = "bf16") -> Cost:
    costs, size = [], SIZE[precision] * batch
    found = calls(name)
    normalised = any(call.type == "BatchNorm2d" for call in found)
    first = next(call for call in found if call.macs)
    for call in found:
        if call.macs:
            times = 2 if call is first else 3
            costs += times * [(2.0 * batch * call.macs, float(size * call.moved))]
        elif "Pool" in call.type:
            costs.append((0.0, 2.0 * size * call.moved))
        elif not (normalised and call.type == "ReLU"):
            costs.append((0.0, float(size * PASSES.get(call.type, 0) * call.written)))
    return costs
