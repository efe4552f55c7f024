"""One training step without values: what it holds in memory at once, and the work it does.

Forward, backward and update run under a mode that notes when each storage is created and freed.
"""

import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .operations import FREE, Cost, cost

# oneDNN reorders the weights of a convolution: once forward, twice backward
WORKSPACES = {"convolution": 1, "convolution_backward": 2}
WORKSPACE, TRANSIENT = "workspace", "transient"


class Work(NamedTuple):
    """An operator: the FLOP of its products, the bytes it reads and writes, the values it reads."""

    operator: str
    flop: float
    moved: float
    values: int
    exponential: bool


class Live(TorchDispatchMode):
    """Records live storages, and the work of each operator that is not a view."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[int] = []  # a storage's number when it is created, ~number when freed
        self.sizes: list[int] = []
        self.kinds: dict[int, str] = {}
        self.numbers: dict[int, int] = {}  # of live storages
        self.watched: list[Any] = []
        self.work: list[Work] = []

    def hold(self, t: Any, kind: str = "") -> Any:
        """Counts a tensor's storage while it lives; the first `kind` that it is given stays."""
        storage = t.untyped_storage()
        key = storage._cdata
        if key not in self.numbers:
            number = self.numbers[key] = self._new(storage.nbytes())
            self.watched.append(weakref.ref(storage, lambda _: self._free(key, number)))
        if kind:
            self.kinds.setdefault(self.numbers[key], kind)
        return t

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        outputs = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        for t in outputs:
            self.hold(t)
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        self._workspace(name, args)
        if outputs and not func.is_view:
            inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
            self.work.append(_work(name, args, inputs, outputs))
        return out

    def peak(self) -> dict[str, int]:
        """The bytes of each kind at the moment when most are live."""
        live, most, at = 0, 0, 0
        for i, event in enumerate(self.events):
            live += self.sizes[event] if event >= 0 else -self.sizes[~event]
            if live > most:
                most, at = live, i
        held: set[int] = set()
        for event in self.events[: at + 1]:
            held.add(event) if event >= 0 else held.discard(~event)
        parts: Counter[str] = Counter()
        for number in held:
            parts[self.kinds.get(number, TRANSIENT)] += self.sizes[number]
        return dict(parts)

    def _new(self, nbytes: int) -> int:
        self.sizes.append(nbytes)
        self.events.append(number := len(self.sizes) - 1)
        return number

    def _free(self, key: int, number: int) -> None:
        self.events.append(~number)
        self.numbers.pop(key, None)

    def _workspace(self, name: str, args: Sequence[Any]) -> None:
        if copies := WORKSPACES.get(name, 0):
            weight = args[copies]  # (input, weight) forward, (gradient, input, weight) backward
            number = self._new(copies * weight.numel() * weight.element_size())
            self.kinds[number] = WORKSPACE
            self.events.append(~number)


def _work(
    name: str, args: Sequence[Any], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> Work:
    moved = 0 if name in FREE else sum(t.nbytes for t in (*inputs, *outputs))
    counted = cost(name, args, outputs[0])
    exponential = counted is not None and counted.exponentials > 0
    values = 0 if "empty" in name else sum(t.numel() for t in inputs)
    return Work(name, _flop(name, args, counted), float(moved), values, exponential)


def _flop(name: str, args: Sequence[Any], counted: Cost | None) -> float:
    """Two per multiply-add; backward a convolution has one product for each gradient."""
    if name == "convolution_backward":
        forward = (*args[1:3], None, *args[4:])  # input, weight, bias, stride, ...
        counted = cost("convolution", forward, args[0])
        assert counted is not None
        return 2.0 * sum(args[-1][:2]) * counted.macs
    return 2.0 * counted.macs if counted else 0.0
