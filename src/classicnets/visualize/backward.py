"""Backward passes with rules of your own, as deconvnet and guided backpropagation need them.

The forward pass is unchanged; each operator that a rule names gets another backward pass. Rules
apply to operators, not to modules, so that `F.relu` is treated like `nn.ReLU` and no operator falls
back to its plain gradient unnoticed.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map


class Operation(NamedTuple):
    """An operator's call on a tensor that depends on the image.

    `gated`: an argument was computed from the image without a gradient, such as the mask that a
    comparison gives.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: Mapping[str, Any]
    out: Any
    gated: bool


BackwardFunction = Callable[[Tensor], Tensor]
BackwardRule = Callable[[Operation], BackwardFunction | None]  # None: the gradient


class BackwardRules(TorchFunctionMode):
    """While active, replaces the backward pass of operators: by name, or else by `default`.

    `counts` holds how often each rule was applied.
    """

    def __init__(self, rules: Mapping[str, BackwardRule], default: BackwardRule):
        super().__init__()
        self.rules = rules
        self.default = default
        self.counts: Counter[str] = Counter()
        self.constants: dict[int, Tensor] = {}  # without a gradient; alive, so that no id recurs

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if "input" in options:
            args = (options.pop("input"), *args)
        sources = _dependents((args, options))
        full_name = getattr(func, "__name__", "").partition(".")[0]
        name = full_name.strip("_")
        rule = self.rules.get(name, self.default)
        in_place = options.get("inplace") or re.search("[^_]_$", full_name)
        in_place = in_place and sources and args[0] is sources[0]
        gated = any(id(t) in self.constants for t in tree_leaves((args, options)))
        if not in_place:
            out = func(*args, **options)
            if sources or gated:
                self.constants |= {id(t): t for t in tree_leaves(out) if _constant(t)}
            return self._with_rule(rule, Operation(name, func, args, options, out, gated), sources)
        before = sources[0].clone()
        args = tuple(before.clone() if a is sources[0] else a for a in args)
        operation = Operation(name, func, args, options, func(*args, **options), gated)
        return sources[0].copy_(self._with_rule(rule, operation, [before]))

    def _with_rule(self, rule: BackwardRule, operation: Operation, sources: list[Tensor]) -> Any:
        if operation.name == "setitem" and operation.gated:
            back = rule(operation)  # it returns no tensor to hook, so that a refusal must come now
            if back is not None:
                back(sources[0])
        if not _dependents(operation.out) or not sources:
            return operation.out
        back = rule(operation)
        if operation.name in self.rules:
            self.counts[operation.name] += 1
        if back is None:
            return operation.out
        return tree_map(
            lambda t: _Replaced.apply(sources[0], t.detach(), back) if _depends(t) else t,
            operation.out,
        )


class _Replaced(torch.autograd.Function):
    """The identity in the forward pass, the rule's function in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, out: Tensor, back: BackwardFunction) -> Tensor:
        ctx.back = back
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(grads[0]), None, None


def require_known_nodes(out: Tensor, allowed: re.Pattern[str]) -> None:
    """Raises a ValueError when an operator behind `out` escaped the rules, as in a ScriptModule.

    `allowed` matches the names of autograd nodes that need no rule.
    """
    visited, pending = set(), [out.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        name = node.name().partition("Backward")[0]
        if name != "_Replaced" and not allowed.search(name.lower()):
            raise ValueError(
                f"the network hides the operator {name}, whose backward pass cannot be replaced"
            )
        pending += [following for following, _ in node.next_functions]


def gradient(operation: Operation) -> BackwardFunction | None:
    """The operator's own gradient."""


def apply_to_gradient(operation: Operation) -> BackwardFunction | None:
    """Applies the non-linearity itself to the signal."""
    rest, options = operation.args[1:], {**operation.options}
    options.pop("inplace", None)
    return lambda g: operation.function(g.clone(), *rest, **options)


def identity(operation: Operation) -> BackwardFunction | None:
    """Passes the signal unchanged."""
    return lambda g: g


def guided(operation: Operation) -> BackwardFunction | None:
    """Passes the signal where it and the activation are positive."""
    return lambda g: g.relu() * (operation.out > 0)


def overwrite(operation: Operation) -> BackwardFunction | None:
    """Unpools to the switches; among windows with the same switch the last one counts."""
    x = operation.args[0].detach()
    options = {**operation.options, "return_indices": True}
    pool = F.adaptive_max_pool2d if "adaptive" in operation.name else F.max_pool2d
    switches = pool(x, *operation.args[1:], **options)[1].flatten(2)

    def back(g: Tensor) -> Tensor:
        windows = torch.arange(switches.shape[2], device=g.device).expand_as(switches)
        last = torch.full(x.flatten(2).shape, -1, device=g.device)
        last = last.scatter_reduce(2, switches, windows, "amax")
        placed = g.flatten(2).gather(2, last.clamp(min=0)) * (last >= 0)
        return placed.view_as(x)

    return back


def refuse(operation: Operation) -> BackwardFunction | None:
    """Raises a ValueError when the backward pass reaches the operator."""

    def back(g: Tensor) -> Tensor:
        raise ValueError(
            f"deconvnet has no inverse for the operator {operation.name} of this network; it "
            "supports convolution, pooling, ReLU, tanh, normalisation, addition and concatenation"
        )

    return back


def linear(operation: Operation) -> BackwardFunction | None:
    """The transpose, which is the gradient; refuses products of two terms from the image."""
    if operation.gated and operation.name in (*MULTILINEAR, "getitem", "index_select"):
        return refuse(operation)
    single = len(_dependents((operation.args, operation.options))) == 1
    reciprocal = operation.name in ("div", "truediv") and not _depends(operation.args[0])
    # with the statistics of the batch, normalising is not linear
    training = operation.options.get("training", operation.args[5:6] == (True,))
    batch_statistics = training and operation.name == "batch_norm"
    if (operation.name in JOINTLY_LINEAR or single) and not reciprocal and not batch_statistics:
        return None
    return refuse(operation)


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# linear in all their tensors together, and linear in any one of them
JOINTLY_LINEAR = _names("""add radd iadd sub rsub isub neg cat concat stack sum mean getitem get
    view reshape flatten unflatten permute transpose t squeeze unsqueeze expand contiguous clone to
    float double split chunk unbind narrow select index_select roll flip pad channel_shuffle
    pixel_shuffle requires_grad dropout dropout2d feature_dropout alpha_dropout avg_pool1d
    avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d interpolate""")
MULTILINEAR = _names("""mul rmul imul div truediv itruediv matmul rmatmul mm bmm addmm einsum linear
    conv1d conv2d conv_transpose2d addcmul batch_norm""")
ACTIVATIONS = _names("""relu relu6 leaky_relu prelu elu selu celu gelu silu mish hardswish hardtanh
    tanh""")
NORMS = ("lrn", "local_response_norm")
# names of autograd nodes: of linear operators, and of all but ReLU
LINEAR_NODES = re.compile(
    "^add|^sub|^rsub|^neg|^cat|^stack|^sum|^mean|^mul|^div|^mm$|^bmm$|^t$|select|slice|index|view|"
    "alias|strided|reshape|flatten|permute|transpose|squeeze|expand|repeat|clone|copy|split|chunk|"
    "unbind|narrow|roll|flip|pad|shuffle|dropout|pool|upsample|conv|linear|batchnorm|accumulategrad"
)
NODES_BUT_RELU = re.compile("^(?!.*relu)")
POOLS = ("max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d")


def _depends(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _constant(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.requires_grad


def _dependents(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if _depends(value)]
