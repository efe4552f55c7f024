"""Training: it learns, it is repeatable, and stopping changes nothing."""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import nn

from classicnets.data.augment import HorizontalFlip
from classicnets.data.crops import RandomCrop
from classicnets.data.images import Images, Splits
from classicnets.data.scaling import Between
from classicnets.data.synthetic import shapes
from classicnets.recipes import lenet
from classicnets.training.execution.batches import images_needed
from classicnets.training.execution.execution import Execution
from classicnets.training.execution.graph import GraphedCallable
from classicnets.training.recipe.averaging import Ema, Polyak
from classicnets.training.recipe.init import HeNormal
from classicnets.training.recipe.optimizers import SGD, LevenbergMarquardt
from classicnets.training.recipe.progressive import ProgressiveResizing
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.recipe.schedules import Constant, MultiStep
from classicnets.training.run import checkpoint, loop
from classicnets.training.run.config import RunConfig
from classicnets.training.run.loop import evaluate, initialise
from classicnets.training.run.state import Record, TrainingState

EXACT = Execution("fp32", "channels_first", accumulation_steps=1)

PLAIN = Recipe(
    cite="none",
    epochs=3,
    batch=16,
    optimizer=SGD(momentum=0.9, weight_decay=1e-4),
    lr=MultiStep(0.02, milestones=(0.5,), factor=0.1),
    init=HeNormal(),
    side=20,
    crop=16,
    crop_sampler=RandomCrop(),
    augment=(HorizontalFlip(),),
    pixels=Between(-1.0, 1.0),
)


def net() -> nn.Sequential:
    """Everything that carries state or random numbers: batch normalisation and dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(32, 4),
    )


class Job(NamedTuple):
    """What is trained on what."""

    config: RunConfig
    data: Splits


def job(recipe: Recipe, data: Splits, seed: int = 0, execution: Execution = EXACT) -> Job:
    return Job(RunConfig.fit(recipe, data, execution, seed), data)


FIRST = job(PLAIN, shapes(80, side=20))


def start(network: nn.Module, job: Job) -> TrainingState:
    initialise(network, job.config.recipe, job.config.seed)
    return loop.start(network, job.config)


def train(state: TrainingState, job: Job) -> Iterator[Record]:
    return loop.train(state, job.config, job.data)


def run(job: Job, steps: float = math.inf, state: TrainingState | None = None) -> TrainingState:
    """The state after so many steps, from a state or from the seed."""
    if state is None:
        torch.manual_seed(job.config.seed)
        state = start(net(), job)
    for record in train(state, job):
        if record.step >= steps:
            break
    return state


def bits(state) -> list[torch.Tensor]:
    buffers = [b for s in state.optimizer.state.values() for b in s.values() if b is not None]
    average = [] if state.average is None else state.average.state_dict().values()
    return [*state.network.state_dict().values(), *buffers, *average, state.totals]


def equal(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(bits(one), bits(other), strict=True))


def test_one_batch_is_memorised():
    splits = shapes(24, side=20)
    recipe = dataclasses.replace(
        PLAIN, epochs=150, batch=24, crop=20, augment=(), lr=Constant(0.05)
    )
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 256, 4))
    this = job(recipe, splits)
    *_, last = train(start(network, this), this)
    assert last.error == 0
    assert last.loss < 0.05


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs():
    splits = shapes(80, side=20)
    assert equal(run(job(PLAIN, splits)), run(job(PLAIN, splits)))
    assert not equal(run(job(PLAIN, splits)), run(job(PLAIN, splits, seed=1)))


def test_random_numbers_drawn_in_between_change_nothing():
    this = job(PLAIN, shapes(80, side=20))
    torch.manual_seed(0)
    state = start(net(), this)
    for _ in train(state, this):
        torch.rand(7)
    assert equal(state, run(this))


VARIANTS = {
    "plain": PLAIN,
    "an average": dataclasses.replace(PLAIN, average=Ema(0.9)),
    "Polyak's average": dataclasses.replace(PLAIN, average=Polyak(since=0.4)),
    "in steps": dataclasses.replace(PLAIN, epochs=None, steps=10),
}


@pytest.mark.parametrize("stop_after", [1, 4, 6, 8])  # four steps an epoch
@pytest.mark.parametrize("name", VARIANTS)
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, name, stop_after):
    this = job(VARIANTS[name], shapes(80, side=20))
    whole = run(this)
    stopped = run(this, steps=stop_after)
    checkpoint.save(stopped, tmp_path / "last.pt", {})
    torch.manual_seed(99)
    fresh = start(net(), job(VARIANTS[name], shapes(80, side=20), seed=99))
    checkpoint.restore(fresh, tmp_path / "last.pt", {})
    assert fresh.step == stop_after
    resumed = run(this, state=fresh)
    assert equal(whole, resumed)
    assert (whole.best, whole.validation, whole.lowest, whole.step) == (
        resumed.best, resumed.validation, resumed.lowest, resumed.step
    )  # fmt: skip


def test_curvature_survives_a_stop(tmp_path):
    from classicnets.models.lenet import lenet5

    recipe = dataclasses.replace(
        lenet.MNIST, epochs=2, batch=8, optimizer=LevenbergMarquardt(samples=20)
    )
    this = job(recipe, shapes(60, channels=1))
    ends = []
    for stop in (math.inf, 3):
        torch.manual_seed(0)
        state = run(this, steps=stop, state=start(lenet5(4), this))
        checkpoint.save(state, tmp_path / "last.pt", {})
        fresh = start(lenet5(4), this)
        checkpoint.restore(fresh, tmp_path / "last.pt", {})
        ends.append(run(this, state=fresh))
    assert equal(*ends)


def test_an_accumulated_step_equals_the_whole_step_to_rounding():
    recipe = dataclasses.replace(PLAIN, epochs=1, augment=())
    splits = shapes(80, side=20)
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 4)
    ends = []
    for parts in (1, 3):
        this = job(recipe, splits, execution=dataclasses.replace(EXACT, accumulation_steps=parts))
        network = nn.Sequential(*layers)
        ends.append(run(this, state=start(network, this)).network.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-5, atol=1e-6)


def test_the_average_is_the_mean_of_the_weights_after_each_step():
    recipe = dataclasses.replace(PLAIN, epochs=1, average=Polyak())
    this = job(recipe, shapes(80, side=20))
    state = start(net(), this)
    seen = [state.network[0].weight.detach().clone() for _ in train(state, this)]
    mean = torch.stack(seen).mean(0)
    assert state.evaluated is not state.network
    torch.testing.assert_close(state.evaluated[0].weight.detach(), mean)


def test_bf16_computes_in_bf16_and_keeps_weights_in_fp32():
    seen = []
    network = net()
    network[0].register_forward_hook(lambda _layer, _args, out: seen.append(out.dtype))
    execution = Execution("bf16", "channels_last", accumulation_steps=1)
    this = job(PLAIN, shapes(80, side=20), execution=execution)
    run(this, steps=1, state=start(network, this))
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "value"), [("precision", "fp8"), ("layout", "NHWC"), ("accumulation_steps", -1)]
)
def test_an_unknown_execution_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*{value}"):
        Execution(**{name: value})


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return ran.touch, ()

    torch.save({"network": Trap()}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.restore(start(net(), FIRST), tmp_path / "last.pt", {})
    assert not ran.exists()


def test_a_damaged_or_foreign_checkpoint_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "last.pt"
    state = start(net(), FIRST)
    checkpoint.save(state, path, {"batch": 16})
    with pytest.raises(ValueError, match="of another network"):
        checkpoint.restore(start(nn.Sequential(nn.Linear(3, 4)), FIRST), path, {"batch": 16})
    with pytest.raises(ValueError, match=r"has changed since .*: batch was 16 and is 8"):
        checkpoint.restore(start(net(), FIRST), path, {"batch": 8})
    whole = path.read_bytes()
    flipped = bytearray(whole)
    # a byte of the weights: no checksum covers those between two tensors
    flipped[whole.index(next(state.network.parameters()).detach().numpy().tobytes())] ^= 255
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.restore(start(net(), FIRST), path, {"batch": 16})
    path.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.restore(start(net(), FIRST), path, {"batch": 16})
    with pytest.raises(ValueError, match="no checkpoint"):
        checkpoint.restore(start(net(), FIRST), tmp_path / "none.pt", {})


def test_every_image_is_seen_once_an_epoch_and_validation_comes_last():
    records = list(train(start(net(), FIRST), FIRST))  # 56 for training
    assert [record.step for record in records] == list(range(1, 13))
    assert {record.steps for record in records} == {12}
    assert [record.epoch for record in records] == [1] * 4 + [2] * 4 + [3] * 4
    assert [record.images for record in records[:4]] == [16, 32, 48, 56]
    assert [record.validation is not None for record in records] == [False, False, False, True] * 3
    assert records[3].best


def test_a_loss_that_is_not_finite_ends_in_a_sentence():
    splits = shapes(80, side=20)
    recipe = dataclasses.replace(PLAIN, lr=Constant(1e30))
    with pytest.raises(
        ValueError, match=r"no longer finite at step 4 with a learning rate of 1e\+30"
    ):
        run(job(recipe, splits))


def test_metrics_equal_counting_by_hand():
    logits = torch.tensor([[5.0, 1, 2, 3, 4, 0], [0, 9, 1, 2, 3, 4], [9, 1, 2, 3, 4, 0]])
    pixels = torch.zeros(3, 1, 1, 6, dtype=torch.uint8)
    pixels[:, 0, 0] = logits.to(torch.uint8)
    images = Images(pixels[..., :6].expand(-1, -1, 6, -1), torch.tensor([0, 2, 5]))
    network = nn.Sequential(nn.AvgPool2d((6, 1)), nn.Flatten())
    recipe = dataclasses.replace(PLAIN, side=6, crop=6, pixels=Between(0.0, 255.0), augment=())
    splits = Splits("six", tuple("abcdef"), images, images, images)
    metrics = evaluate(network, job(recipe, splits).config, images)
    assert metrics.top1_error == pytest.approx(200 / 3)
    assert metrics.top5_error == pytest.approx(100 / 3)  # 5 is the least likely of the third
    byhand = [math.log(sum(map(math.exp, row))) - row[k]
              for row, k in zip(logits.tolist(), (0, 2, 5), strict=True)]  # fmt: skip
    assert metrics.loss == pytest.approx(sum(byhand) / 3, rel=1e-5)


def test_a_recorded_step_is_replayed_on_each_batch_and_ends_with_the_same_bits(
    monkeypatch, replayed
):
    def on_the_device(optimizer, device):
        optimizer.param_groups[0]["lr"] = torch.zeros(())

    monkeypatch.setattr(loop, "make_graphable", on_the_device)
    recipe = dataclasses.replace(PLAIN, batch=12)
    recorded = run(job(recipe, FIRST.data, execution=dataclasses.replace(EXACT, graph=True)))
    plain = run(job(recipe, FIRST.data))
    # 56 images in batches of 12: three steps go first, and the last of each epoch is smaller
    assert recorded.step == 15
    assert replayed == [12] * (15 - 3 - 3)
    assert equal(plain, recorded)


def test_another_shape_is_recorded_in_place_of_the_former_when_it_stays(replayed):
    graph = GraphedCallable(lambda x: (x + 1,))
    lengths = [2] * 5 + [3] + [2] * 2 + [3] * 5 + [2] * 3
    for number, length in enumerate(lengths):
        x = torch.full((length,), float(number))
        assert torch.equal(graph(x)[0], x + 1)
    # the first three of a shape in a row go as they are
    assert replayed == [2] * 2 + [2] * 2 + [3] * 2


def test_a_step_that_cannot_be_recorded_is_refused(monkeypatch):
    def refuses(graph: GraphedCallable):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(GraphedCallable, "record", refuses)
    monkeypatch.setattr(loop, "make_graphable", lambda optimizer, device: None)
    recipe = dataclasses.replace(PLAIN, batch=12)
    with pytest.raises(ValueError, match=r"recorded as a CUDA graph \(operation .* --no-graph"):
        run(job(recipe, FIRST.data, execution=dataclasses.replace(EXACT, graph=True)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_recorded_steps_end_as_steps_one_by_one():
    def trained(graph: bool) -> TrainingState:
        recipe = dataclasses.replace(PLAIN, batch=12)
        gpu = torch.device("cuda")
        data = FIRST.data.to(gpu)
        config = RunConfig.fit(recipe, FIRST.data, dataclasses.replace(EXACT, graph=graph))
        on_gpu = Job(config, data)
        torch.manual_seed(0)
        return run(on_gpu, state=start(net().to(gpu), on_gpu))

    for one, other in zip(bits(trained(True)), bits(trained(False)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("normalised", "parts", "seen"),
    [
        (True, 1, [11, 11, 11, 11, 12]),
        (True, 5, [3, 3, 3, 2] * 4 + [3, 3, 3, 3]),
        (True, 11, [2, 2, 2, 2, 3] * 4 + [2] * 6),
        (False, 1, [11] * 5 + [1]),
        (False, 5, [3, 3, 3, 2] * 5 + [1]),
    ],
)
def test_no_batch_or_part_of_one_has_fewer_images_than_the_network_needs(normalised, parts, seen):
    lengths = []
    norm = [nn.BatchNorm1d(8)] * normalised
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), *norm, nn.Linear(8, 4)
    )
    data = shapes(80, side=20)  # 56 for training
    recipe = dataclasses.replace(PLAIN, epochs=1, batch=11)
    execution = dataclasses.replace(EXACT, accumulation_steps=parts)
    minimum = images_needed(network, (3, 16, 16), 4)
    config = RunConfig.fit(recipe, data, execution, minimum=minimum)
    network[0].register_forward_pre_hook(
        lambda layer, args: lengths.append(len(args[0])) if layer.training else None
    )
    records = list(loop.train(loop.start(network, config), config, data))
    assert lengths == seen
    assert {record.steps for record in records} == {len(records)} == {len(config.batches())}
    assert records[-1].images == 56


def test_progressive_resizing_grows_crops_to_full_size():
    seen = []
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network[0].register_forward_pre_hook(
        lambda layer, args: seen.append(args[0].shape[2]) if layer.training else None
    )
    growth = ProgressiveResizing(start=0.5, until=0.75, multiple=4)
    recipe = dataclasses.replace(PLAIN, epochs=4, progressive_resizing=growth)
    this = job(recipe, shapes(24, side=20))
    run(this, state=start(network, this))
    # a quarter of the training is a third of the way from 8 to 16 pixels
    assert seen == [12, 12, 16, 16]
