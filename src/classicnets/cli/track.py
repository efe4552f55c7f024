"""Trackers that a training can be written to: TensorBoard, trackio and Weights & Biases."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classicnets.api.train import Training
    from classicnets.training.run.loop import Record

Write = Callable[["Record"], None]

PACKAGES = {"tensorboard": "torch.utils.tensorboard", "trackio": "trackio", "wandb": "wandb"}
A_PASS = 50  # points of a pass at most; reading the figures waits for the device


def require(names: Sequence[str]) -> None:
    """Raises a ValueError, before anything else is done, for a tracker that cannot be had."""
    for name in names:
        if name not in PACKAGES:
            raise ValueError(f"there is no tracker {name!r}; there is {', '.join(PACKAGES)}")
        try:
            import_module(PACKAGES[name])
        except ImportError as error:
            raise ValueError(
                f"--track {name} needs a package that is not here: pip install 'classicnets[track]'"
            ) from error


@contextmanager
def tracking(names: Sequence[str], training: "Training") -> Iterator[Write]:
    """Writes records to these trackers; each run bears the name of its directory there.

    Raises a ValueError where a tracker does not start, as when nobody is logged in.
    """
    with ExitStack() as open_ones:
        writers = [
            open_ones.enter_context(_opened(name, training)) for name in dict.fromkeys(names)
        ]

        def write(record: "Record") -> None:
            if writers and _is_due(record):
                told = figures(record)
                for writer in writers:
                    writer(told, record.step)

        yield write


def figures(record: "Record") -> dict[str, float]:
    """What is told of a step, and of the validation at the end of a pass."""
    told = {
        "epoch": float(record.epoch),
        "lr": record.lr,
        "training/loss": record.loss,
        "training/error": record.error,
    }
    if (validation := record.validation) is not None:
        told |= {
            "validation/loss": validation.loss,
            "validation/top1_error": validation.top1_error,
            "validation/top5_error": validation.top5_error,
        }
    return told


def _is_due(record: "Record") -> bool:
    every = max(1, record.steps // (record.epochs * A_PASS))
    return record.validation is not None or record.step % every == 0


@contextmanager
def _opened(name: str, training: "Training") -> Iterator[Callable[[dict[str, float], int], None]]:
    package = import_module(PACKAGES[name])
    if name == "tensorboard":
        # what was written after the saved step happens again
        with package.SummaryWriter(
            str(training.directory), purge_step=training.state.step + 1
        ) as writer:

            def write(told: dict[str, float], step: int) -> None:
                for figure, value in told.items():
                    writer.add_scalar(figure, value, step)

            yield write
        return
    try:
        run = _started(name, package, training)
    except Exception as error:  # each package has its own
        raise ValueError(f"{name} does not start: {' '.join(str(error).split())}") from error
    try:
        yield lambda told, step: run.log(told, step=step)
    finally:
        run.finish()


def _started(name: str, package: Any, training: "Training") -> Any:
    from classicnets.training.recipe.serialization import to_json

    facts = training.run.config
    config = {
        "network": facts.network,
        "data": facts.data,
        "seed": facts.seed,
        "recipe": to_json(facts.recipe),
    }
    named: dict[str, Any] = {"project": "classicnets", "name": training.directory.name}
    if name == "wandb":  # a resumed run goes on in its place only by its id
        named["id"] = training.directory.name[:64]
    return package.init(**named, config=config, resume="allow")
