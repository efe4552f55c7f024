"""How much memory a training needs at its peak, and how many images a step has memory for."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves

from classicnets.measure.live import TRANSIENT, WORKSPACE, Live
from classicnets.support.devices import network_device
from classicnets.support.errors import one_line
from classicnets.support.meta import materialise, meta_copy
from classicnets.support.modules import image_dtype, require_parameters

MARGIN = 1.15  # measured peaks are within this factor of the predicted ones
EVALUATED = 64  # images in a forward pass of validation and test, at least
MOST = 2**24  # images in a batch
# interpreter, torch and its kernels: 350 to 440 MiB with torch 2.13, by how much is paged in; and
# what is usual for a CUDA context
RUNTIME = {"cpu": 385 * 2**20, "cuda": 600 * 2**20}
# malloc cannot use all freed memory again: measured, of what a step creates and frees
KEPT = 0.5


@dataclass(frozen=True)
class Peak:
    """The bytes of one phase of a training at its peak, by part.

    `transients` are gradients of activations and results that are soon freed; `workspaces` those of
    single operators. `allocator` is freed memory that cannot be used again, `runtime` what the
    process needs without a network.
    """

    phase: str
    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    transients: int = 0
    workspaces: int = 0
    images: int = 0
    allocator: int = 0
    runtime: int = 0

    @property
    def parts(self) -> dict[str, int]:
        return {name: n for name, n in asdict(self).items() if name != "phase"}

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def range(self) -> tuple[int, int]:
        """The least and the most that was measured where so much is predicted."""
        return round(self.total / MARGIN), round(self.total * MARGIN)


def step_peak(
    network: nn.Module,
    shape: tuple[int, int, int],
    batch: int,
    copies: int = 1,
    precision: str = "fp32",
    device: str = "cpu",
    live: Live | None = None,
) -> Peak:
    """The memory of a training step on `batch` images (c, h, w), all of them at once.

    The optimizer stores `copies` values per weight. `live` gets the step's operators. Raises a
    ValueError for a network that cannot run without values, and for images that do not fit it.
    """
    live = live or Live()
    _require_plannable(network)
    try:
        with _without_values(precision):
            twin, x = _twin(network, shape, batch, live, precision)
            with live, saved_tensors_hooks(lambda t: live.hold(t, "activations"), lambda t: t):
                if not twin.training:  # the parts in evaluation mode of another stay so
                    twin.train()
                with _autocast(precision):
                    scores = [t for t in tree_leaves(twin(x)) if isinstance(t, Tensor)]
                    loss = sum(t.float().log_softmax(-1).mean() for t in scores)
                assert isinstance(loss, Tensor)
                del scores
                loss.backward()
            trained = [p for p in twin.parameters() if p.requires_grad]
            for p in (p for p in trained if p.grad is not None):
                live.hold(p.grad, "gradients")
    except Exception as error:  # anything can happen in your own network
        kind = type(network).__name__
        raise ValueError(f"{kind} cannot be planned: {one_line(error)}") from error
    return _peak("training step", live, trained, copies, device)


def _require_plannable(network: nn.Module) -> None:
    require_parameters(network)
    for name, t in chain(network.named_parameters(), network.named_buffers()):
        if t.layout != torch.strided:
            raise ValueError(
                f"{type(network).__name__} cannot be planned: {name} is a sparse tensor, with "
                "which torch computes only where it has values; train it, and run.json has what it "
                "needed"
            )


def evaluation_peak(
    network: nn.Module,
    shape: tuple[int, int, int],
    batch: int,
    copies: int = 1,
    precision: str = "fp32",
    device: str = "cpu",
) -> Peak:
    """The memory of validation and test between two epochs, while the state of training is held.

    The test packs a second copy of the weights.
    """
    live = Live()
    with torch.no_grad(), _without_values(precision):
        twin, x = _twin(network, shape, batch, live, precision)
        with live, _autocast(precision):
            twin.eval()(x)
    trained = [p for p in twin.parameters() if p.requires_grad]
    peak = _peak("evaluation", live, trained, copies, device)
    return replace(
        peak, gradients=_bytes(trained), workspaces=peak.workspaces + _bytes([*twin.parameters()])
    )


def checkpoint_peak(network: nn.Module, copies: int = 1, device: str = "cpu") -> Peak:
    """The memory of writing a checkpoint of weights and optimizer state, and the best weights."""
    parameters = list(network.parameters())
    weights, trained = _bytes(parameters), _bytes([p for p in parameters if p.requires_grad])
    return Peak(
        "checkpoint",
        weights,
        trained,
        copies * trained,
        workspaces=2 * (weights + copies * trained) if device == "cpu" else 0,
        runtime=RUNTIME.get(device, 0),
    )


def largest_batch(
    network: nn.Module,
    shape: tuple[int, int, int],
    free: float,
    precision: str = "fp32",
    copies: int = 1,
    device: str = "cpu",
) -> float:
    """The largest batch of images of `shape` (c, h, w) that a training step fits in `free` bytes.

    The optimizer keeps `copies` values per weight. Infinite where it is unknown: for a network that
    cannot run without values, such as one whose forward depends on them or that has sparse tensors,
    or unknown free memory. 0 where not one image fits.
    """
    if math.isinf(free):
        return math.inf

    def peak(batch: int, live: Live | None = None) -> Peak:
        return step_peak(network, shape, batch, copies, precision, device, live)

    def need(batch: int) -> float:
        return _need(peak(batch))

    try:
        small, large = Live(), Live()
        two, _ = peak(2, small), peak(4, large)
        if small.events != large.events or small.kinds != large.kinds:
            return float(_largest(need, free))

        def scaled(batch: int) -> float:
            return _need(_scaled(two, small, large, batch))

        fits = _largest(scaled, free) if _need(two) <= free else 0
        return float(fits if fits > 2 and need(fits) <= free else _largest(need, free))
    except (ValueError, RuntimeError):
        return math.inf


def _need(peak: Peak) -> float:
    return MARGIN * (peak.total - peak.runtime)


def _scaled(two: Peak, small: Live, large: Live, batch: int) -> Peak:
    """The peak of a step from those of two and of four images, of which storages are multiples."""
    live = Live()
    live.events, live.kinds = small.events, small.kinds
    pairs = zip(small.sizes, large.sizes, strict=True)
    live.sizes = [a + (b - a) * (batch - 2) // 2 for a, b in pairs]
    largest = two.allocator - round(KEPT * (two.activations + two.transients))
    return _by_kind(two, live.peak(), largest, two.allocator > 0)


def _largest(need: Any, free: float) -> int:
    """The largest batch whose need is at most `free`; need is convex in the batch.

    A chord lies above a convex function: where it meets `free`, the batch fits.
    """
    low, high, a = 2, 4, need(2)
    if a > free:
        try:
            return int(need(1) <= free)
        except ValueError:  # batch normalisation of one value per map
            return 0
    b = need(high)
    for _ in range(4):
        fits = min(MOST, int(low + (free - a) * (high - low) / (b - a))) if b > a else MOST
        value = need(fits)
        if value > free:
            high, b = fits, value
        elif fits in (low, MOST):
            return fits
        else:
            low, a = fits, value
            if high <= low:
                return low
    return low


def accumulation_steps(
    network: nn.Module,
    shape: tuple[int, int, int],
    batch: int,
    free: float,
    precision: str,
    copies: int = 1,
) -> tuple[int, str]:
    """The fewest accumulation steps that fit in memory; and the figures, where that is not one."""
    if math.isinf(free):
        return 1, ""
    try:
        device = network_device(network).type
        whole = step_peak(network, shape, batch, copies, precision, device)
    except ValueError:
        return 1, ""
    need = whole.total - whole.runtime
    if _need(whole) <= free:
        return 1, ""
    largest = largest_batch(network, shape, free, precision, copies, device)
    why = f"the whole batch needs {need / 2**30:.1f} GiB, {free / 2**30:.1f} are free"
    why += f"; the largest batch that fits is {largest:.0f}" if largest else "; not one image fits"
    return min(batch, math.ceil(batch / max(largest, 1))), why


def _peak(phase: str, live: Live, trained: Sequence[Tensor], copies: int, device: str) -> Peak:
    # the largest gradient does not fit where it was, once activations took a part of it
    largest = max(map(_size, trained), default=0) if phase == "training step" else 0
    fixed = Peak(phase, optimizer=copies * _bytes(trained), runtime=RUNTIME.get(device, 0))
    return _by_kind(fixed, live.peak(), largest, device == "cpu")


def _by_kind(fixed: Peak, parts: Mapping[str, int], largest: int, malloc: bool) -> Peak:
    """The peak with these live bytes by kind, and what malloc keeps, with the largest gradient."""
    activations, transients = parts.get("activations", 0), parts.get(TRANSIENT, 0)
    return replace(
        fixed,
        weights=parts.get("weights", 0),
        gradients=parts.get("gradients", 0),
        activations=activations,
        transients=transients,
        workspaces=parts.get(WORKSPACE, 0),
        images=parts.get("images", 0),
        allocator=round(KEPT * (activations + transients)) + largest if malloc else 0,
    )


def _without_values(precision: str) -> Any:
    """Tensors on meta are not cast by autocast; those that claim to be on the CPU are."""
    return FakeTensorMode(allow_non_fake_inputs=True) if precision == "bf16" else nullcontext()


def _autocast(precision: str) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def _twin(
    network: nn.Module, shape: tuple[int, int, int], batch: int, live: Live, precision: str
) -> tuple[nn.Module, Tensor]:
    """A copy of the network without values, and images for it, all of them counted."""
    device = "cpu" if precision == "bf16" else "meta"
    twin = meta_copy(network, device)
    materialise(twin, (2, *shape))
    for t in (*twin.parameters(), *twin.buffers()):
        live.hold(t, "weights")
    x = torch.empty(batch, *shape, dtype=image_dtype(twin), device=device)
    if any(p.ndim == 4 for p in twin.parameters()):
        x = x.contiguous(memory_format=torch.channels_last)
    return twin, live.hold(x, "images")


def _bytes(tensors: Sequence[Any]) -> int:
    return sum(map(_size, tensors))


def _size(t: Tensor) -> int:
    return t.numel() * t.element_size()


def training_peaks(
    network: nn.Module,
    shape: tuple[int, int, int],
    batch: int,
    parts: int = 1,
    copies: int = 1,
    precision: str = "fp32",
    device: str = "cpu",
    live: Live | None = None,
) -> tuple[Peak, ...]:
    """The memory of a step in `parts`, of evaluation after an epoch and of writing a checkpoint.

    The training needs the largest of them. Raises a ValueError as `step_peak` does.
    """
    part = math.ceil(batch / parts)
    evaluated = max(part, EVALUATED)
    return (
        step_peak(network, shape, part, copies, precision, device, live),
        evaluation_peak(network, shape, evaluated, copies, precision, device),
        checkpoint_peak(network, copies, device),
    )


def largest_peak(peaks: Sequence[Peak]) -> Peak:
    """The one that decides whether a training fits."""
    return max(peaks, key=lambda peak: peak.total)
