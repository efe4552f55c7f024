"""One forward pass in which every operator is recorded, under the call that it belongs to.

The only file of this package, with `trace`, that uses private parts of torch.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from classicnets.support.hooks import temporary_hooks

from .operations import Cost, cost
from .receptive_field import Fields, Untracked, image_fields, propagate
from .shapes import Shapes

# besides recurrent layers: of scaled_dot_product_attention, and of embedding_bag
FUSED = {"_safe_softmax", "_embedding_bag"}


DEVICES = ("cpu", "cuda")


@dataclass(eq=False)
class Call:
    """One call of a leaf module, or of a function outside any leaf: a future row of the report."""

    path: str  # of the module or function; repeated calls have the same
    type: str
    module: nn.Module | None  # None for a function
    name: str = ""  # the path and the number of the call; "" until an operator has run
    output: tuple[int, ...] = ()
    cost: Cost = field(default_factory=Cost)
    params: int = 0
    parameter_bytes: int = 0
    activation_bytes: int = 0
    saved_bytes: int = 0
    fields: Fields | None = None  # None where they cannot be followed
    training_only: bool = False


class Recorder(TorchDispatchMode):
    """Records every operator of one forward pass over tensors without values."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.names = {module: name for name, module in network.named_modules()}
        self.leaves = {module for module in self.names if next(module.children(), None) is None}
        self.scopes: list[str] = []  # the modules being run, without leaves
        self.current: Call | None = None
        self.calls: list[Call] = []
        self.entered: list[Call] = []  # also calls without operators, such as identities
        self.uncounted: set[str] = set()
        self.fused: set[str] = set()
        self.single: list[Call] = []
        self.autocast = ""  # the kind of device that operators are cast on
        self._counts: Counter[str] = Counter()
        self.shapes = Shapes()

        self.own = {_storage(t) for t in (*network.parameters(), *network.buffers())}
        self.unclaimed = {_storage(p): p for p in network.parameters()}
        self.alive: dict[int, Any] = {}  # ids of live storages are unique
        self.fresh: set[int] = set()  # storages that the current call created
        self.savers: dict[int, list[Call | None]] = {}

        # storage -> view -> receptive fields; a storage without an entry holds constants
        self.fields: dict[int, dict[tuple, Fields | None]] = {}

    def run(self, image: Tensor) -> Any:
        """The network's output for this image; every hook is removed again."""
        self.alive[_storage(image)] = _memory(image)
        self.fields[_storage(image)] = {_view(image): image_fields(image)}
        hooks = (
            register_module_forward_pre_hook(self.enter_module),
            register_module_forward_hook(self.leave_module, always_call=True),
        )
        with (
            temporary_hooks(hooks),
            torch.enable_grad(),
            image.device,  # for tensors that a forward creates
            _Functions(self),
            self,
            saved_tensors_hooks(self.save, lambda t: t),
        ):
            return self.network(image)

    # --- which call is this? ---

    def enter_module(self, module: nn.Module, args: Any) -> None:
        if module not in self.names or self.current:
            return
        path = self.names[module]
        if module in self.leaves:
            kind = type(module).__name__
            self.begin(Call(path or kind, kind, module))
        else:
            self.scopes.append(path)

    def leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if self.current and self.current.module is module:
            self.end(output)
        elif module in self.names and not self.current:
            self.scopes.pop()

    @contextmanager
    def function(self, name: str) -> Iterator[list]:
        """A call of a function between modules; the caller appends its output to the list."""
        path = ".".join(filter(None, (*self.scopes[-1:], name)))
        self.begin(Call(path, name, None))
        output: list = []
        try:
            yield output
        finally:
            self.end(output)

    def begin(self, call: Call) -> None:
        self.current = call
        self.entered.append(call)
        self.fresh.clear()

    def end(self, output: Any) -> None:
        tensors = [*_tensors(output)]
        if self.current and tensors:
            self._describe(self.current, tensors)
        self.current = None

    def _describe(self, call: Call, tensors: list[Tensor]) -> None:
        call.output = tuple(tensors[0].shape)
        outputs = {_storage(t): t for t in tensors}
        call.activation_bytes = sum(
            t.untyped_storage().nbytes()
            for key, t in outputs.items()
            if key in self.fresh and t.layout == torch.strided
        )
        try:
            call.fields = self.lookup(tensors[0])
        except Untracked:
            call.fields = None

    def _list(self, call: Call) -> None:
        """Adds a call to the list, with the first operator that it runs."""
        self._counts[call.path] += 1
        count = self._counts[call.path]
        suffix = f" ({count})" if call.module else f"_{count}"
        call.name = call.path + (suffix if count > 1 else "")
        self.calls.append(call)

    # --- what does this operator do? ---

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if self.current is None:  # called inside torch, outside any function
            with self.function(_name(func)) as output:
                output.append(self.__torch_dispatch__(func, types, args, kwargs))
            return output[0]
        if _name(func) == "native_batch_norm":
            out = self.normalised(self.current, func, args)
        else:
            out = self.shapes.run(func, args, kwargs or {})
        if not self.current.name:
            self._list(self.current)
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        outputs = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        self._claim(self.current, inputs)
        if outputs:
            self._count(self.current, func, args, outputs[0])
            self._propagate(func, args, inputs, outputs)
        for t in outputs:
            if _storage(t) not in self.alive and _storage(t) not in self.own:
                self.alive[_storage(t)] = _memory(t)
                self.fresh.add(_storage(t))
        return out

    def normalised(self, call: Call, func: Any, args: tuple) -> tuple[Tensor, ...]:
        """Batch normalisation, where torch without values differs from torch with values."""
        x, weight, *_, training, _, _ = args
        if not training:
            return func(*args)
        if x.numel() == x.shape[1]:
            self.single.append(call)
        # torch takes it apart into a dozen operators, which is most of the time of a deep network
        dtype = x.dtype if weight is None else weight.dtype
        statistics = (x.new_empty(x.shape[1], dtype=dtype) for _ in range(2))
        return torch.empty_like(x), *statistics

    def _claim(self, call: Call, inputs: list[Tensor]) -> None:
        """Counts parameters for the first call that reads them."""
        for t in inputs:
            if (parameter := self.unclaimed.pop(_storage(t), None)) is not None:
                call.params += parameter.numel()
                call.parameter_bytes += parameter.numel() * parameter.element_size()

    def unused(self) -> dict[str, int]:
        """The number of parameters that no operator has read, by the module that holds them."""
        counts: Counter[str] = Counter()
        for name, parameter in self.network.named_parameters():
            if _storage(parameter) in self.unclaimed:
                counts[name.rpartition(".")[0] or name] += parameter.numel()
        return dict(counts)

    def _count(self, call: Call, func: Any, args: tuple, out: Tensor) -> None:
        bookkeeping = func._schema.is_mutable and _storage(out) in self.own  # num_batches_tracked
        if func.is_view or bookkeeping:
            return
        arithmetic = cost(_name(func), args, out)
        if arithmetic is None:
            self.uncounted.add(_name(func))
        else:
            call.cost += arithmetic.with_macs_scaled(_multiply_add_fraction(call.module))
        if isinstance(call.module, nn.RNNBase) or _name(func) in FUSED:
            self.fused.add(call.name)

    def _propagate(
        self, func: Any, args: tuple, inputs: list[Tensor], outputs: list[Tensor]
    ) -> None:
        name = _name(func)
        if name.startswith("new_") or name.endswith("_like"):
            return  # reads the shape of its input, not the values
        if not any(_storage(t) in self.fields for t in inputs):
            return
        try:
            pointwise = torch.Tag.pointwise in func.tags
            fields = propagate(name, pointwise, args, outputs[0], self.lookup)
        except Untracked:
            fields = None
        for t in outputs:
            if func._schema.is_mutable:
                self.fields.pop(_storage(t), None)  # other views of it hold new values now
            self.fields.setdefault(_storage(t), {})[_view(t)] = fields
            fields = None  # indices and statistics are not tracked

    def lookup(self, t: Tensor) -> Fields | None:
        """The receptive fields of a tensor; None for a constant. Raises Untracked."""
        views = self.fields.get(_storage(t))
        if views is None:
            return None
        if (fields := views.get(_view(t))) is None:
            raise Untracked("not tracked")
        return fields

    # --- what does autograd save? ---

    def save(self, t: Tensor) -> Tensor:
        key = _storage(t)
        if key not in self.own:
            self.alive.setdefault(key, _memory(t))
            latest = self.calls[-1] if self.calls else None
            self.savers.setdefault(key, []).append(self.current or latest)
        return t

    def assign_saved_bytes(self) -> None:
        """Counts each saved storage for the first call that saved it, if possible in evaluation."""
        for key, savers in self.savers.items():
            calls = [call or self.calls[0] for call in savers]
            first = next((call for call in calls if not call.training_only), calls[0])
            if isinstance(self.alive[key], Tensor):  # sparse: its bytes depend on values
                self.fused.add(first.name)
            else:
                first.saved_bytes += self.alive[key].nbytes()


class _Functions(TorchFunctionMode):
    """Begins a call in the recorder for every function outside leaf modules."""

    def __init__(self, recorder: Recorder):
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if not self.recorder.autocast:
            self.recorder.autocast = next(filter(torch.is_autocast_enabled, DEVICES), "")
        if func is F.batch_norm:
            func = self.batch_norm
        if self.recorder.current:
            return func(*args, **(kwargs or {}))
        with self.recorder.function(getattr(func, "__name__", str(func)).strip("_")) as output:
            output.append(func(*args, **(kwargs or {})))
        return output[0]

    @staticmethod
    def batch_norm(
        x: Tensor, mean: Any, var: Any, weight: Any = None, bias: Any = None,
        training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
    ) -> Tensor:  # fmt: skip
        """torch's function, which refuses to train on one value per map, although it has costs."""
        return torch.batch_norm(x, weight, bias, mean, var, training, momentum, eps, False)


def _tensors(output: Any) -> Iterator[Tensor]:
    """The tensors of an output, in nested containers and dataclasses as well."""
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor):
            yield leaf
        elif is_dataclass(leaf):
            yield from _tensors([getattr(leaf, f.name, None) for f in fields(leaf)])


def _multiply_add_fraction(module: nn.Module | None) -> float:
    """The fraction of its multiply-adds that a sparse layer does not spend on zeros."""
    fraction = getattr(module, "multiply_add_fraction", 1.0)
    return fraction if isinstance(fraction, float) and 0 < fraction <= 1 else 1.0


def _name(func: Any) -> str:
    """`relu` for aten's relu and relu_; other libraries stay in the name: `classicnets::lrn`."""
    return func._schema.name.removeprefix("aten::").rstrip("_")


def _memory(t: Tensor) -> Any:
    """What holds the values: a storage, which views share; a sparse tensor has none."""
    return t.untyped_storage() if t.layout == torch.strided else t


def _storage(t: Tensor) -> int:
    return t.untyped_storage()._cdata if t.layout == torch.strided else id(t)


def _view(t: Tensor) -> tuple:
    if t.layout != torch.strided:
        return ()
    return t.storage_offset(), tuple(t.shape), t.stride()
