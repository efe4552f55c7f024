"""What the runs of an experiment have come to, read from their directories."""

import math
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from pathlib import Path

from classicnets.training.run.directory import Run, open_run

from .plan import Member, Plan

DIVERGED = 100.0  # %, the error that a run counts with whose loss is no longer finite
RUNS = "runs"


@dataclass(frozen=True)
class Outcome:
    """A run that has ended. Errors are in %; `test` is None where it was not looked at.

    `validation` and `loss` are those of the best epoch; `curve` has the seconds of training and the
    validation error after each epoch. `diverged` is why it has no result, if so.
    """

    member: Member
    validation: float
    loss: float
    best_epoch: int
    test: float | None
    curve: tuple[tuple[float, float], ...]
    diverged: str = ""

    @property
    def rank(self) -> tuple[float, float]:
        """Smaller is better."""
        return self.validation, self.loss

    @property
    def seconds(self) -> float:
        return self.curve[-1][0] if self.curve else 0.0

    @property
    def error(self) -> float:
        """The test error that the run counts with."""
        return DIVERGED if self.diverged or self.test is None else self.test

    def validation_within(self, seconds: float) -> float | None:
        """The best validation error of the epochs that ended so early; None if none did."""
        return min((error for at, error in self.curve if at <= seconds), default=None)


def outcome_of(member: Member, plan: Plan, directory: Path) -> Outcome | None:
    """The outcome of a run of the experiment in `directory`; None if it has not ended.

    Raises a ValueError for a run that is damaged, or not the one of the plan.
    """
    place = directory / RUNS / member.name
    if not (place / "run.json").exists():
        return None
    run = open_run(place)
    _require_own(run, member, plan)
    if not run.notes.get("ended"):
        return None
    test = None if member.searches else (run.notes.get("test") or {}).get("top1_error")
    diverged = str(run.notes.get("diverged") or "")
    if test is None and not member.searches and not diverged:
        return None
    times = accumulate(epoch.seconds for epoch in run.epochs)
    curve = tuple(zip(times, (e.validation_top1_error for e in run.epochs), strict=True))
    if diverged or not run.epochs:
        return Outcome(member, DIVERGED, math.inf, 0, None, curve, diverged or "no epoch ended")
    best = min(run.epochs, key=attrgetter("rank"))
    return Outcome(member, *best.rank, best.epoch, test, curve)


def _require_own(run: Run, member: Member, plan: Plan) -> None:
    variant = plan.variants[member.variant]
    facts: dict[str, tuple[object, object]] = {
        "seed": (run.config.seed, member.seed),
        "data": (run.config.digest, plan.digest),
        "images": (run.config.images, plan.images),
        "network": ((run.notes.get("parameters")), variant.parameters),
    }
    if not plan.search:  # trials may differ in batch, and so in steps
        facts["length"] = (run.config.total_steps, variant.steps)
    if other := next((name for name, (a, b) in facts.items() if a != b), ""):
        raise ValueError(
            f"{run.directory} is not the run that {plan.names[member.variant]} needs there: "
            f"another {other}; remove it, and it is trained again"
        )
