"""A study: a claim about the networks, the criterion that decides on it, and what was found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .charts import Chart

if TYPE_CHECKING:
    from .lab import Lab

FAMILIES = ("history", "lenet", "alexnet", "zfnet", "vgg", "googlenet", "resnet")
KINDS = STRUCTURE, HISTORY, TRAINING = ("structure", "history", "training")
DAY = 24 * 60  # minutes
TEXT = "case study"  # the lecture text whose claims docs/claims.md answers one by one
NOTES = "CS231n notes"


@dataclass(frozen=True)
class Finding:
    """What a study found: a verdict, a sentence with the right value, and what they rest on.

    `figures` are numbers or words by their names, with units where they have any. Words alone have
    no `chart`. `runs` is what the runs of a training study came to, one number for each seed.
    """

    verdict: str
    answer: str
    figures: Mapping[str, float | int | str]
    chart: Chart | None = None
    runs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A claim in our own words, who makes it, and where the truth stands.

    `criterion` says what result leads to what verdict. `minutes` are those of two cores, `shrunk`
    what is smaller than in the paper and what is therefore not shown, `data` what it trains on, or
    nothing where no other data can take their place. The name is that of the function, and begins
    with its family, if it is of one.
    """

    name: str
    family: str
    kind: str
    claim: str
    by: str
    source: str
    criterion: str
    minutes: float | int
    shrunk: str
    data: str
    run: "Callable[[Lab], Finding]" = field(repr=False)

    @property
    def needs_gpu(self) -> bool:
        """Whether two cores would take days."""
        return self.minutes > DAY


def structure(
    *, claim: str, by: str = TEXT, source: str, criterion: str
) -> Callable[[Callable[[], Finding]], Study]:
    """A study that a network's structure or arithmetic decides, in seconds."""
    return lambda function: _at_once(function, STRUCTURE, claim, by, source, criterion)


def history(
    *, claim: str, by: str = TEXT, source: str, criterion: str
) -> Callable[[Callable[[], Finding]], Study]:
    """A study that a printed table or the paper's own words decide."""
    return lambda function: _at_once(function, HISTORY, claim, by, source, criterion)


def training(
    *,
    claim: str,
    by: str,
    source: str,
    criterion: str,
    minutes: float | int,
    shrunk: str,
    data: str = "digits",
) -> "Callable[[Callable[[Lab], Finding]], Study]":
    """A study that paired trainings on a data set decide."""
    facts = (TRAINING, claim, by, source, criterion, minutes, shrunk, data)
    return lambda function: Study(*_place(function), *facts, function)


def _at_once(function: Callable[[], Finding], *facts: str) -> Study:
    return Study(
        *_place(function), *facts, minutes=0.1, shrunk="", data="", run=lambda lab: function()
    )


def _place(function: Callable[..., Finding]) -> tuple[str, str]:
    """The name of a study, and its family."""
    name = function.__name__.replace("_", "-")
    return name, next((one for one in FAMILIES if name.startswith(one)), FAMILIES[0])
