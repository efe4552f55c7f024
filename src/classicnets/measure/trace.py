"""One pass over a network on the meta device, in which every operator is seen.

All of torch's private corners that measuring needs are in this file.
"""

import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from classicnets.support.errors import one_line
from classicnets.support.meta import image_dtype, meta_copy, needs_values

from .operations import Cost, cost
from .receptive_field import Fields, Lost, follow, of_image
from .sizes import explain


@dataclass(eq=False)
class Call:
    """One call of a leaf module, or of a function outside any leaf: a row in the making."""

    path: str  # where it stands; shared by repeated calls
    type: str
    module: nn.Module | None  # the leaf, if it is one
    name: str = ""  # where it stands and the number of the call; "" while no operator has run
    output: tuple[int, ...] = ()
    cost: Cost = field(default_factory=Cost)
    params: int = 0
    parameter_bytes: int = 0
    activation_bytes: int = 0
    saved_bytes: int = 0
    fields: Fields | None = None  # None: cannot be followed
    training_only: bool = False


@dataclass
class Pass:
    """All calls of one pass in order, and what their numbers leave out."""

    calls: list[Call]
    uncounted: tuple[str, ...]  # operators nobody has a rule for
    fused: tuple[str, ...]  # what a real device computes in one piece, keeping other bytes
    unused: dict[str, int]  # where parameters stand that no operator read, and how many they are


def watch(network: nn.Module, size: tuple[int, ...], batch: int) -> Pass:
    """One pass in training mode over a copy that has shapes but no values.

    Where the network gives more than scores in training, a second pass in evaluation mode tells
    which calls happen in training only. Raises ValueError for images the network cannot take, and
    for a network that needs values to find its way or cannot be copied.
    """
    twin = meta_copy(network).train()
    dtype = image_dtype(twin)
    recorder = _Recorder(twin)
    try:
        image = torch.empty(batch, *size, dtype=dtype, device="meta")
        output = recorder.run(image)
        if not isinstance(output, Tensor):
            evaluated = _Recorder(twin.eval())
            evaluated.run(image)
            everywhere = set(evaluated.entered)
            for call in recorder.calls:
                call.training_only = call.path not in everywhere
    except Exception as error:
        raise ValueError(_refusal(network, (batch, *size), dtype, recorder, error)) from error
    recorder.share_out_what_is_saved()
    return Pass(
        recorder.calls,
        tuple(sorted(recorder.uncounted)),
        tuple(sorted(recorder.fused)),
        recorder.unused(),
    )


def _refusal(
    network: nn.Module,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    recorder: "_Recorder",
    error: Exception,
) -> str:
    kind = type(network).__name__
    images = "x".join(map(str, shape[1:]))
    if needs_values(error):
        return (
            f"{kind} cannot be measured: measuring follows shapes alone, and its forward reads the "
            f"values of a tensor or makes one on a device of its own; torch says: {one_line(error)}"
        )
    if "more than 1 value per channel" in str(error):
        layer = recorder.entered[-1] or kind
        return (
            f"{layer} cannot train on one value a map, from images of {images}: "
            "a batch of 2 or more would do, or larger images"
        )
    if any(words in str(error) for words in ("calculation overflowed", "Overflow when unpacking")):
        return f"{shape[0]} images of {images} have more bytes than can be numbered; take fewer"
    reason = explain(network, shape, dtype) if len(shape) == 4 else ""
    return reason or f"{kind} cannot take images of {images}; its forward says: {one_line(error)}"


class _Recorder(TorchDispatchMode):
    """Sees every operator of one pass, and keeps account of which call it belongs to."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.names = {module: name for name, module in network.named_modules()}
        self.leaves = {module for module in self.names if next(module.children(), None) is None}
        self.scopes: list[str] = []  # the modules we are in, leaves apart
        self.current: Call | None = None
        self.calls: list[Call] = []
        self.entered: list[str] = []
        self.uncounted: set[str] = set()
        self.fused: set[str] = set()
        self._times: Counter[str] = Counter()

        self.own = {_storage(t) for t in (*network.parameters(), *network.buffers())}
        self.unclaimed = {_storage(p): p for p in network.parameters()}
        self.alive: dict[int, torch.UntypedStorage] = {}  # a live number is not used twice
        self.fresh: set[int] = set()  # what the current call has made
        self.savers: dict[int, list[Call | None]] = {}

        # storage -> view of it -> what it sees; a storage without an entry holds constants
        self.seen: dict[int, dict[tuple, Fields | None]] = {}

    def run(self, image: Tensor) -> Any:
        """The network's output for this image, every hook removed again."""
        self.alive[_storage(image)] = image.untyped_storage()
        self.seen[_storage(image)] = {_view(image): of_image(image)}
        with ExitStack() as stack:
            enter = register_module_forward_pre_hook(self.enter_module)
            stack.callback(enter.remove)
            leave = register_module_forward_hook(self.leave_module, always_call=True)
            stack.callback(leave.remove)
            stack.enter_context(_compiler_left_out())
            stack.enter_context(torch.enable_grad())
            stack.enter_context(torch.device("meta"))  # for tensors that a forward makes
            stack.enter_context(_Functions(self))
            stack.enter_context(self)
            stack.enter_context(saved_tensors_hooks(self.save, lambda t: t))
            return self.network(image)

    # --- which call is this? ---

    def enter_module(self, module: nn.Module, args: Any) -> None:
        if module not in self.names or self.current:
            return
        path = self.names[module]
        self.entered.append(path)
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
        """A call of a function between modules; put its output into the list."""
        path = ".".join(filter(None, (*self.scopes[-1:], name)))
        self.entered.append(path)
        self.begin(Call(path, name, None))
        output: list = []
        try:
            yield output
        finally:
            self.end(output)

    def begin(self, call: Call) -> None:
        self.current = call
        self.fresh.clear()

    def end(self, output: Any) -> None:
        tensors = [t for t in tree_leaves(output) if isinstance(t, Tensor)]
        if self.current and self.current.name and tensors:
            self._describe(self.current, tensors)
        self.current = None

    def _describe(self, call: Call, tensors: list[Tensor]) -> None:
        call.output = tuple(tensors[0].shape)
        made = {_storage(t): t for t in tensors}
        call.activation_bytes = sum(
            t.untyped_storage().nbytes() for key, t in made.items() if key in self.fresh
        )
        try:
            call.fields = self.see(tensors[0])
        except Lost:
            call.fields = None

    def _list(self, call: Call) -> None:
        """A call becomes a row with its first operator."""
        self._times[call.path] += 1
        times = self._times[call.path]
        again = f" ({times})" if call.module else f"_{times}"
        call.name = call.path + (again if times > 1 else "")
        self.calls.append(call)

    # --- what does this operator do? ---

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if self.current is None:  # called from inside torch, past all functions
            with self.function(_name(func)) as output:
                output.append(self.__torch_dispatch__(func, types, args, kwargs))
            return output[0]
        out = func(*args, **(kwargs or {}))
        if not self.current.name:
            self._list(self.current)
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        outputs = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        self._claim(self.current, inputs)
        if outputs:
            self._count(self.current, func, args, outputs[0])
            self._follow(func, args, inputs, outputs)
        for t in outputs:
            if _storage(t) not in self.alive and _storage(t) not in self.own:
                self.alive[_storage(t)] = t.untyped_storage()
                self.fresh.add(_storage(t))
        return out

    def _claim(self, call: Call, inputs: list[Tensor]) -> None:
        """Parameters belong to the first call that uses them."""
        for t in inputs:
            if (parameter := self.unclaimed.pop(_storage(t), None)) is not None:
                call.params += parameter.numel()
                call.parameter_bytes += parameter.numel() * parameter.element_size()

    def unused(self) -> dict[str, int]:
        """Where the parameters stand that no operator has read, and how many they are."""
        places: Counter[str] = Counter()
        for name, parameter in self.network.named_parameters():
            if _storage(parameter) in self.unclaimed:
                places[name.rpartition(".")[0] or name] += parameter.numel()
        return dict(places)

    def _count(self, call: Call, func: Any, args: tuple, out: Tensor) -> None:
        bookkeeping = func._schema.is_mutable and _storage(out) in self.own  # batches tracked
        if func.is_view or bookkeeping:
            return
        spent = cost(_name(func), args, out)
        if spent is None:
            self.uncounted.add(_name(func))
        else:
            call.cost += spent.thinned(_share(call.module))
        if isinstance(call.module, nn.RNNBase) or _name(func) == "_safe_softmax":
            self.fused.add(call.name)

    def _follow(self, func: Any, args: tuple, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        name = _name(func)
        if name.startswith("new_") or name.endswith("_like"):
            return  # takes a shape from the image, no values
        if not any(_storage(t) in self.seen for t in inputs):
            return
        try:
            pointwise = torch.Tag.pointwise in func.tags
            fields = follow(name, pointwise, args, outputs[0], self.see)
        except Lost:
            fields = None
        for t in outputs:
            if func._schema.is_mutable:
                self.seen.pop(_storage(t), None)  # other views of it now hold something else
            self.seen.setdefault(_storage(t), {})[_view(t)] = fields
            fields = None  # indices and statistics are not followed

    def see(self, t: Tensor) -> Fields | None:
        """What a tensor sees of the image; None for a constant. Raises Lost."""
        views = self.seen.get(_storage(t))
        if views is None:
            return None
        if (fields := views.get(_view(t))) is None:
            raise Lost("not followed")
        return fields

    # --- what does autograd keep? ---

    def save(self, t: Tensor) -> Tensor:
        key = _storage(t)
        if key not in self.own:
            self.alive.setdefault(key, t.untyped_storage())
            latest = self.calls[-1] if self.calls else None
            self.savers.setdefault(key, []).append(self.current or latest)
        return t

    def share_out_what_is_saved(self) -> None:
        """Each storage to the first that saved it, before all others if not in training only."""
        for key, savers in self.savers.items():
            calls = [call or self.calls[0] for call in savers]
            first = next((call for call in calls if not call.training_only), calls[0])
            first.saved_bytes += self.alive[key].nbytes()


@contextmanager
def _compiler_left_out() -> Iterator[None]:
    """Keeps torch from loading its compiler, two thirds of the time of a first pass.

    Its shape functions ask the compiler for nothing but to be left alone by it. Whoever wants more
    of it meanwhile gets the real one.
    """
    name = "torch._dynamo"
    if name in sys.modules:
        yield
        return
    left_alone: list[Any] = []

    def disable(function: Any, *args: Any, **kwargs: Any) -> Any:
        left_alone.append(function)
        return function

    def everything_else(attribute: str) -> Any:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in = ModuleType(name)
    vars(stand_in).update(disable=disable, __getattr__=everything_else)
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        for function in left_alone:
            vars(function).pop("__dynamo_disable", None)


class _Functions(TorchFunctionMode):
    """Tells the recorder which function is being called where no leaf module is."""

    def __init__(self, recorder: _Recorder):
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if self.recorder.current:
            return func(*args, **(kwargs or {}))
        with self.recorder.function(getattr(func, "__name__", str(func)).strip("_")) as output:
            output.append(func(*args, **(kwargs or {})))
        return output[0]


def _share(module: nn.Module | None) -> float:
    """Which share of its multiply-adds a sparse layer says are not with a zero."""
    share = getattr(module, "share_of_multiply_adds", 1.0)
    return share if isinstance(share, float) and 0 < share <= 1 else 1.0


def _name(func: Any) -> str:
    """`relu` for aten's relu and for relu_; others keep their library, `classicnets::lrn`."""
    return func._schema.name.removeprefix("aten::").rstrip("_")


def _storage(t: Tensor) -> int:
    return t.untyped_storage()._cdata


def _view(t: Tensor) -> tuple:
    return t.storage_offset(), tuple(t.shape), t.stride()
