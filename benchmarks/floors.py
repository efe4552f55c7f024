"""What a network cannot do without on a GPU: arithmetic and traffic, layer by layer.

On a GPU moving numbers takes as long as computing with them, in one layer the one and in the next
the other; so the floor is a sum over layers, of whichever takes longer. Each layer reads its input
and writes its output once in a pass: forward, and back for the gradients of its weights and, but
for the first layer, of its input. What can ride along with a convolution costs the passes that are
left of it: normalisation three more over its maps, an addition four, local response normalisation
five and a rectifier one, or none where there is normalisation that takes it along. Weights, which
a batch shares, and their update are not counted.
"""

from dataclasses import dataclass

import torch
from harness import Cost
from torch import nn

from classicnets import catalog
from classicnets.measure import measure

SIZE = {"fp32": 4, "bf16": 2}  # bytes of a number
MORE = {"BatchNorm2d": 3, "add": 4, "LocalResponseNorm": 5, "ReLU": 1}  # passes of a training step


@dataclass(frozen=True)
class Call:
    """One call of a layer with one image: numbers that it reads and writes, multiply-adds."""

    type: str
    read: int
    written: int
    macs: int

    @property
    def moved(self) -> int:
        return self.read + self.written


def calls(name: str) -> list[Call]:
    """The layers of a network of the catalogue, heads that are there in training alone left out."""
    entry, found = catalog.find(name), []

    def note(layer: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        macs = 0
        if isinstance(layer, nn.Conv2d | nn.Linear):
            macs = output.numel() * layer.weight[0].numel()
        found.append(Call(type(layer).__name__, given[0].numel(), output.numel(), macs))

    with torch.device("meta"):
        network = entry.build().eval()
        report = measure(network, entry.input)
        for layer in network.modules():
            if not list(layer.children()):
                layer.register_forward_hook(note)
        network(torch.empty(1, *entry.input))
    sums = (torch.Size(row.output).numel() for row in report.layers if row.type == "add")
    return found + [Call("add", 2 * written, written, 0) for written in sums]


def inference_floor(name: str, batch: int, precision: str = "bf16") -> Cost:
    """Normalisation is folded into a convolution, which takes rectifier and addition along too."""
    cost, size = [], SIZE[precision] * batch
    for call in calls(name):
        if call.macs or "Pool" in call.type or call.type == "LocalResponseNorm":
            cost.append((2.0 * batch * call.macs, float(size * call.moved)))
        elif call.type == "add":
            cost.append((0.0, float(size * call.written)))
    return cost


def training_floor(name: str, batch: int, precision: str = "bf16") -> Cost:
    cost, size = [], SIZE[precision] * batch
    found = calls(name)
    normalised = any(call.type == "BatchNorm2d" for call in found)
    first = next(call for call in found if call.macs)
    for call in found:
        if call.macs:
            times = 2 if call is first else 3
            cost += times * [(2.0 * batch * call.macs, float(size * call.moved))]
        elif "Pool" in call.type:
            cost.append((0.0, 2.0 * size * call.moved))
        elif not (normalised and call.type == "ReLU"):
            cost.append((0.0, float(size * MORE.get(call.type, 0) * call.written)))
    return cost
