"""What holds for any module: which kinds cannot be used, how to copy one, and its modes."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from .errors import option


def require_plain(network: nn.Module) -> None:
    """Raises a ValueError for a compiled, exported or wrapped module: the one inside is needed."""
    for name, module in network.named_modules():
        if reason := _not_plain(module):
            where = f"{name}, a {type(module).__name__}," if name else type(module).__name__
            raise ValueError(f"{where} {reason}")


def require_float32(network: nn.Module) -> None:
    """Raises a ValueError for weights of another type than the images of training have."""
    if (dtype := image_dtype(network)) != torch.float32:
        raise ValueError(
            f"{type(network).__name__} has weights of {dtype}, and images are torch.float32; "
            f"convert it with .float(), and let {option('precision', 'auto')} choose what it "
            "computes in"
        )


def require_parameters(network: nn.Module) -> None:
    """Raises a ValueError for a network that cannot learn."""
    if not any(p.requires_grad for p in network.parameters()):
        raise ValueError(f"{type(network).__name__} has no parameters to train")


def _not_plain(module: nn.Module) -> str:
    original = "give the module that it was made from"
    if isinstance(module, torch.jit.ScriptModule):
        return f"is compiled by torch.jit, and its layers cannot be reached; {original}"
    if hasattr(module, "_orig_mod"):
        return f"is compiled by torch.compile; {original}, and compile it with --compile"
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return f"wraps a network for several devices; {original}, and start it with torchrun"
    if isinstance(module, torch.fx.GraphModule) and "eval" in vars(module):
        return f"is exported by torch.export, which fixes its mode; {original}"
    return ""


def image_dtype(network: nn.Module) -> torch.dtype:
    """What the network computes in: the type of its first floating-point parameter."""
    dtypes = (p.dtype for p in network.parameters() if p.is_floating_point())
    return next(dtypes, torch.get_default_dtype())


def copy_network(
    network: nn.Module, held: Mapping[int, Any] | None = None, device: str | None = None
) -> nn.Module:
    """A deep copy, its tensors on `device` or where they are.

    `held` is id -> what takes the place of that object in the copy. An activation that a module
    keeps is copied without its graph. What cannot be copied, such as a lock or an open file, is
    shared.
    """
    held = dict(held or {})
    with _Copies(device):
        try:
            return copy.deepcopy(network, dict(held))
        except Exception:  # whatever an attribute of your own raises
            shared = {id(v): v for v in _leaves(network, set()) if not _can_be_copied(v)}
            return copy.deepcopy(network, held | shared)


def _leaves(value: Any, seen: set[int]) -> Iterator[Any]:
    """What modules and collections hold, however deep, but the tensors."""
    if id(value) in seen or isinstance(value, Tensor):
        return
    seen.add(id(value))
    inside: Any = None
    if isinstance(value, nn.Module):
        inside = vars(value).values()
    elif isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        inside = list(value)
    elif isinstance(value, MethodType):
        inside = [value.__self__]
    if inside is None:
        yield value
        return
    for one in inside:
        yield from _leaves(one, seen)


def _can_be_copied(value: object) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:
        return False
    return True


class _Copies(TorchFunctionMode):
    """Copies tensors onto a device or where they are; torch refuses those of a graph."""

    def __init__(self, device: str | None):
        super().__init__()
        self.device = device

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is not Tensor.__deepcopy__:
            return func(*args, **(kwargs or {}))
        tensor, copies = args
        if is_lazy(tensor):
            kind: Any = type(tensor)
            made = kind(tensor.requires_grad, self.device or tensor.device, tensor.dtype)
            return copies.setdefault(id(tensor), made)
        if not self.device and tensor.is_leaf and tensor.layout == torch.strided:
            return func(*args)
        values = tensor.detach().to(self.device or tensor.device, copy=True)
        return copies.setdefault(
            id(tensor), values.requires_grad_(tensor.is_leaf and tensor.requires_grad)
        )


class without_values(TorchFunctionMode):
    """Within it, layers of torch leave their random parameters as they are allocated.

    For networks that get their values elsewhere: memory that is not written costs nothing.

    >>> with without_values():
    ...     nn.Linear(2, 3).weight.shape
    torch.Size([3, 2])
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        given = kwargs or {}
        drawn = func in (Tensor.uniform_, Tensor.normal_)
        if drawn or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode; afterwards each module has the mode that it had.

    >>> network = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3).eval())
    >>> with evaluation_mode(network):
    ...     [module.training for module in network]
    [False, False]
    >>> [module.training for module in network]
    [True, False]
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
