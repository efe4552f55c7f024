"""Backward passes with rules of one's own: what deconvnet and guided backpropagation need.

The network runs forward as it is; each operator that a rule names gets another way back. Operators,
not modules, so that a network that calls `F.relu` is treated as one that has `nn.ReLU`, and nothing
slips through with the plain gradient.
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
    """An operator as it was called on something that depends on the image, and what it gave.

    `gated`: one of its arguments comes from the image by a way that does not lead back, as a mask
    made by a comparison does.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: Mapping[str, Any]
    out: Any
    gated: bool


Back = Callable[[Tensor], Tensor]
Rule = Callable[[Operation], Back | None]  # None: as the operator has it


class Backwards(TorchFunctionMode):
    """While active, operators go back as their rule says, and those without as `otherwise` says.

    `counts` tells how often each rule was used.
    """

    def __init__(self, rules: Mapping[str, Rule], otherwise: Rule):
        super().__init__()
        self.rules = rules
        self.otherwise = otherwise
        self.counts: Counter[str] = Counter()
        self.derived: dict[int, Tensor] = {}  # from the image, but with no way back; kept alive

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if "input" in options:
            args = (options.pop("input"), *args)
        sources = _dependents((args, options))
        spelled = getattr(func, "__name__", "").partition(".")[0]
        name = spelled.strip("_")
        rule = self.rules.get(name, self.otherwise)
        in_place = options.get("inplace") or re.search("[^_]_$", spelled)
        in_place = in_place and sources and args[0] is sources[0]
        gated = any(id(t) in self.derived for t in tree_leaves((args, options)))
        if not in_place:
            out = func(*args, **options)
            if sources or gated:
                self.derived |= {id(t): t for t in tree_leaves(out) if _constant(t)}
            return self._turned(rule, Operation(name, func, args, options, out, gated), sources)
        before = sources[0].clone()
        args = tuple(before.clone() if a is sources[0] else a for a in args)
        operation = Operation(name, func, args, options, func(*args, **options), gated)
        return sources[0].copy_(self._turned(rule, operation, [before]))

    def _turned(self, rule: Rule, operation: Operation, sources: list[Tensor]) -> Any:
        if operation.name == "setitem" and operation.gated:
            back = rule(operation)  # what it gives cannot be turned: a refusal counts at once
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
            lambda t: _Turn.apply(sources[0], t.detach(), back) if _depends(t) else t,
            operation.out,
        )


class _Turn(torch.autograd.Function):
    """Forward the values as they are, backward what the rule makes of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, out: Tensor, back: Back) -> Tensor:
        ctx.back = back
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(grads[0]), None, None


def require_all_met(out: Tensor, passed: re.Pattern[str]) -> None:
    """Raises a ValueError when an operator led to `out` that no rule has met, as in a script.

    `passed` are the names of those that need none.
    """
    met, ahead = set(), [out.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in met:
            continue
        met.add(node)
        name = node.name().partition("Backward")[0]
        if name != "_Turn" and not passed.search(name.lower()):
            raise ValueError(f"the network hides {name} where its way back cannot be chosen")
        ahead += [following for following, _ in node.next_functions]


def plain(operation: Operation) -> Back | None:
    """As autograd has it."""


def the_same_again(operation: Operation) -> Back | None:
    """The non-linearity itself is applied to what comes back."""
    rest, options = operation.args[1:], {**operation.options}
    options.pop("inplace", None)
    return lambda g: operation.function(g.clone(), *rest, **options)


def skipped(operation: Operation) -> Back | None:
    """What comes back passes unchanged."""
    return lambda g: g


def guided(operation: Operation) -> Back | None:
    """What comes back passes where it is positive and the activation was."""
    return lambda g: g.relu() * (operation.out > 0)


def overwrite(operation: Operation) -> Back | None:
    """To the switches of the max pool; of windows with the same switch the last one counts."""
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


def refused(operation: Operation) -> Back | None:
    """Raises a ValueError as soon as something comes back this way."""

    def back(g: Tensor) -> Tensor:
        raise ValueError(
            f"deconvnet has no inverse for the operator {operation.name} of this network; it knows "
            "convolutions, pools, rectifiers and tanh, normalisation, addition and concatenation"
        )

    return back


def linear(operation: Operation) -> Back | None:
    """The transpose, which autograd has; refused for a product of two that depend on the image."""
    if operation.gated and operation.name in (*ALONE, "getitem", "index_select"):
        return refused(operation)
    apart = operation.name in TOGETHER or len(_dependents((operation.args, operation.options))) == 1
    divided = operation.name in ("div", "truediv") and not _depends(operation.args[0])
    # with the statistics of the batch, normalising is not linear
    training = operation.options.get("training", operation.args[5:6] == (True,))
    training = training and operation.name == "batch_norm"
    return None if apart and not divided and not training else refused(operation)


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# linear in all their arguments together, and linear in any one of them
TOGETHER = _names("""add radd iadd sub rsub isub neg cat concat stack sum mean getitem get view
    reshape flatten unflatten permute transpose t squeeze unsqueeze expand contiguous clone to float
    double split chunk unbind narrow select index_select roll flip pad channel_shuffle
    pixel_shuffle requires_grad dropout dropout2d feature_dropout alpha_dropout avg_pool1d
    avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d interpolate""")
ALONE = _names("""mul rmul imul div truediv itruediv matmul rmatmul mm bmm addmm einsum linear
    conv1d conv2d conv_transpose2d addcmul batch_norm""")
RECTIFIERS = _names("""relu relu6 leaky_relu prelu elu selu celu gelu silu mish hardswish hardtanh
    tanh""")
NORMS = ("lrn", "local_response_norm")
# the same as autograd names them: those that are linear, and those that are no rectifier
LINEAR_NODES = re.compile(
    "^add|^sub|^rsub|^neg|^cat|^stack|^sum|^mean|^mul|^div|^mm$|^bmm$|^t$|select|slice|index|view|"
    "alias|strided|reshape|flatten|permute|transpose|squeeze|expand|repeat|clone|copy|split|chunk|"
    "unbind|narrow|roll|flip|pad|shuffle|dropout|pool|upsample|conv|linear|batchnorm|accumulategrad"
)
UNRECTIFIED_NODES = re.compile("^(?!.*relu)")
POOLS = ("max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d")


def _depends(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _constant(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.requires_grad


def _dependents(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if _depends(value)]
