"""The verb train: its options, and running a training until it ends or is interrupted."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import (
    ExitStack,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from classicnets.support.arguments import FIELDS
from classicnets.support.errors import shell

from .commands import next_commands, print_commands, resume_command
from .flags import (
    Augment,
    BatchSize,
    ClassWeights,
    ExistOk,
    Freeze,
    ImageSize,
    InitFrom,
    Lr,
    Name,
    OptimizerName,
    Patience,
    Sampler,
    WeightDecay,
    directory_of,
    recipe_changes,
    refuse_other_settings,
)
from .options import (
    EXECUTION,
    OUTPUT,
    RECIPE,
    Data,
    Device,
    MaxPixels,
    MissingClasses,
    Network,
    OwnNetwork,
    Precision,
    RecipeName,
    Unreadable,
)
from .report import is_first_process, print_introduction, print_summary, warn_of_design

if TYPE_CHECKING:
    from classicnets.api.train import Training
    from classicnets.training.run.state import Record

ENDED_BY = 128  # plus the number of the signal: the exit status of a command ended by a signal
# parameters that --resume goes with
WITH_RESUME = (
    *("resume", "data", "track", "device", "workers", "recipe", "epochs", "builder", "max_pixels"),
)


def train(
    context: typer.Context,
    network: Network = "",
    data: Data = "digits",
    unreadable: Unreadable = "skip",
    allow_missing_classes: MissingClasses = False,
    max_pixels: MaxPixels = "",
    recipe: RecipeName = "",
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=RECIPE,
            help="number of epochs; the schedule scales with it, such as --epochs 30; with "
            "--resume the number in all, to extend a run",
            show_default="the recipe's",
        ),
    ] = None,
    patience: Patience = None,
    class_weights: ClassWeights = None,
    sampler: Sampler = None,
    lr: Lr = None,
    batch_size: BatchSize = None,
    img_size: ImageSize = None,
    optimizer: OptimizerName = None,
    weight_decay: WeightDecay = None,
    augment: Augment = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            rich_help_panel=RECIPE,
            help="change a field that `classicnets recipe` shows; may be repeated, such as "
            '--set batch=64 --set "lr=Constant(0.01)" --set optimizer.momentum=0.8',
        ),
    ] = None,
    init_from: InitFrom = None,
    freeze: Freeze = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            rich_help_panel=RECIPE,
            help="seed of initial values, order of images and augmentation, such as --seed 1",
        ),
    ] = 0,
    builder: OwnNetwork = "",
    device: Device = "auto",
    precision: Precision = "auto",
    layout: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=EXECUTION,
            help="memory layout: auto, channels_first or channels_last, such as "
            "--layout channels_last",
        ),
    ] = "auto",
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile/--no-compile",
            rich_help_panel=EXECUTION,
            help="compile the network with torch.compile",
        ),
    ] = False,
    graph: Annotated[
        bool | None,
        typer.Option(
            "--graph/--no-graph",
            rich_help_panel=EXECUTION,
            help="replay each step as one CUDA graph",
            show_default="automatic",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=EXECUTION,
            help="processes that read images ahead, such as --workers 4",
            show_default="one per CPU core with a GPU, else 0",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            rich_help_panel=OUTPUT,
            help="new run directory, such as --out runs/digits",
            show_default="runs/NETWORK-DATA-TIME",
        ),
    ] = None,
    name: Name = "",
    exist_ok: ExistOk = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            rich_help_panel=OUTPUT,
            help="resume this run from its last checkpoint, such as --resume runs/digits",
        ),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=OUTPUT,
            help="log to tensorboard, trackio or wandb; may be repeated, such as --track wandb",
        ),
    ] = None,
) -> None:
    """Train a network by its paper's recipe.

    Ctrl-C saves a checkpoint, from which --resume continues exactly.

    \b
    Examples:
      classicnets train lenet5 --out runs/digits
      classicnets train resnet18 --data path/to/folder --recipe fast -b 32
      classicnets train --resume runs/digits
      classicnets train --resume runs/digits --epochs 60
    """
    import classicnets as cn
    from classicnets.training.execution.execution import Execution

    from .progress import bars
    from .startup import without_compiler
    from .track import require, tracking

    changes = recipe_changes({option: context.params[option] for option in FIELDS}, overrides or [])
    refuse_other_settings(context, changes.items())
    out = directory_of(out, name)
    require(track or [])
    if resume is not None:
        _require_unset(context)
        start = partial(
            cn.resume,
            resume,
            network=builder or None,
            data=data if _is_given(context, "data") else None,
            device=device,
            workers=workers,
            recipe=recipe or None,
            epochs=epochs,
        )
    elif init_from is not None and "init" in changes:
        raise ValueError("--init-from and --set init exclude each other; give one")
    elif builder:
        raise ValueError(f"--network goes with --resume; write `{shell('train', builder)}`")
    elif not network:
        raise ValueError("train needs a network; `classicnets list` shows their names")
    else:
        start = partial(
            cn.train,
            network,
            data,
            recipe=recipe or None,
            epochs=epochs,
            out=out,
            exist_ok=exist_ok,
            seed=seed,
            device=device,
            overrides=changes,
            init_from=init_from,
            execution=Execution(precision, layout, compiled, graph),
            workers=workers,
            unreadable=unreadable,
            allow_missing_classes=allow_missing_classes,
        )
    replaced = exist_ok and out is not None and (out / "run.json").exists()
    with _silent_unless_first():
        with bars(), nullcontext() if compiled else without_compiler():  # bars for downloads
            training = start()
        if network.endswith(".net"):
            warn_of_design(network)
        with tracking(track or [] if is_first_process() else [], training) as write:
            if replaced:
                print(f"replaced the run in {out}")
            print_introduction(training)
            run_to_end(training, write)
            print_summary(training)
            print_commands(next_commands(training))


def run_to_end(
    training: "Training", write: "Callable[[Record], None]" = lambda record: None
) -> None:
    """Trains to the end, shows progress, and passes each record to `write`.

    Ctrl-C, SIGTERM and SIGHUP save a checkpoint and exit with the status of the signal. Of several
    processes the first one saves and exits; the others end when it has gone.
    """
    from .progress import training_progress

    with _stop_requests() as stop:
        with training_progress(training) as show:
            try:
                for record in training:
                    show(record)
                    write(record)
                    if stop and is_first_process():
                        break
            except OSError:  # the terminal has gone, or who read the output
                if not stop:
                    with suppress(ValueError, OSError):
                        training.save()
                    raise
            except RuntimeError:  # the first process has gone
                if not stop or is_first_process():
                    raise
        if stop and training.test is None:
            if is_first_process():
                saved = training.save()
                with suppress(OSError):  # after SIGHUP nobody may read it
                    print(
                        f"stopped; checkpoint of step {training.state.step} saved in {saved}; "
                        f"resume with: {resume_command(training)}",
                        flush=True,
                    )
            raise typer.Exit(ENDED_BY + stop[0])


def _require_unset(context: typer.Context) -> None:
    """Raises a ValueError for a parameter that --resume would ignore."""
    given = [
        "/".join([*parameter.opts, *parameter.secondary_opts])
        for parameter in context.command.params
        if parameter.name not in WITH_RESUME and _is_given(context, str(parameter.name))
    ]
    if given:
        raise ValueError(f"--resume keeps the settings of the run; remove {', '.join(given)}")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def _silent_unless_first() -> Iterator[None]:
    """Discards what processes other than the first print."""
    with ExitStack() as stack:
        if not is_first_process():
            null = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(null))
            stack.enter_context(redirect_stderr(null))
        yield


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Yields a list to which Ctrl-C, SIGTERM and SIGHUP append their number; the second acts as
    usual. One that is ignored, as SIGHUP under nohup, stays so.

    Under torchrun repeats are ignored, since it forwards a signal that every process has already
    received from the scheduler.
    """
    requested: list[int] = []
    names = (name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
    handlers: dict[int, Any] = {n: signal.getsignal(n) for n in (getattr(signal, m) for m in names)}
    before = {n: handler for n, handler in handlers.items() if handler is not signal.SIG_IGN}

    def request(number: int, frame: object) -> None:
        requested.append(number)
        if "RANK" not in os.environ:
            signal.signal(number, before[number])

    for number in before:
        signal.signal(number, request)
    try:
        yield requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
