"""Experiment trackers that a training can log to: TensorBoard, trackio, Weights & Biases."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from classicnets.support.errors import suggest

if TYPE_CHECKING:
    from classicnets.api.train import Training
    from classicnets.training.run.state import Record

Write = Callable[["Record"], None]
Log = Callable[[dict[str, float], int], None]  # values, step

PACKAGES = {"tensorboard": "torch.utils.tensorboard", "trackio": "trackio", "wandb": "wandb"}
PER_EPOCH = 50  # steps logged per epoch at most; reading the values waits for the device


def require(names: Sequence[str]) -> None:
    """Raises a ValueError for an unknown tracker, or one whose package is not installed."""
    for name in names:
        if name not in PACKAGES:
            raise ValueError(f"unknown tracker {name!r}; {suggest(name, PACKAGES)}")
        try:
            import_module(PACKAGES[name])
        except ImportError as error:
            raise ValueError(
                f"--track {name} needs a package that is not installed: "
                "pip install 'classicnets[track]'"
            ) from error


@contextmanager
def tracking(names: Sequence[str], training: "Training") -> Iterator[Write]:
    """Yields a function that logs a record to these trackers, under the name of the run directory.

    Raises a ValueError where a tracker does not start, for example when nobody is logged in.
    """
    with ExitStack() as stack:
        logs = [stack.enter_context(_started(name, training)) for name in dict.fromkeys(names)]

        def write(record: "Record") -> None:
            if logs and _is_due(record):
                values = figures(record)
                for log in logs:
                    log(values, record.step)

        yield write


def figures(record: "Record") -> dict[str, float]:
    """The values logged for a step; at the end of an epoch, those of the validation too."""
    values = {
        "epoch": float(record.epoch),
        "lr": record.lr,
        "training/loss": record.loss,
        "training/error": record.error,
    }
    if (validation := record.validation) is not None:
        values |= {
            "validation/loss": validation.loss,
            "validation/top1_error": validation.top1_error,
        }
        if validation.top5_error is not None:
            values["validation/top5_error"] = validation.top5_error
    return values


def _is_due(record: "Record") -> bool:
    every = max(1, record.steps // (record.epochs * PER_EPOCH))
    return record.validation is not None or record.step % every == 0


@contextmanager
def _started(name: str, training: "Training") -> Iterator[Log]:
    package = import_module(PACKAGES[name])
    if name == "tensorboard":
        # steps after the checkpoint are run again
        with package.SummaryWriter(
            str(training.directory), purge_step=training.state.step + 1
        ) as writer:

            def log(values: dict[str, float], step: int) -> None:
                for tag, value in values.items():
                    writer.add_scalar(tag, value, step)

            yield log
        return
    try:
        run = _init(name, package, training)
    except Exception as error:  # each package has exceptions of its own
        raise ValueError(f"{name} does not start: {' '.join(str(error).split())}") from error
    try:
        yield lambda values, step: run.log(values, step=step)
    finally:
        run.finish()


def _init(name: str, package: Any, training: "Training") -> Any:
    from classicnets.training.recipe.serialization import to_json

    run = training.run.config
    config = {
        "network": run.network,
        "data": run.data,
        "seed": run.seed,
        "recipe": to_json(run.recipe),
    }
    options: dict[str, Any] = {"project": "classicnets", "name": training.directory.name}
    if name == "wandb":  # it continues a resumed run only under the same id
        options["id"] = training.directory.name[:64]
    return package.init(**options, config=config, resume="allow")
