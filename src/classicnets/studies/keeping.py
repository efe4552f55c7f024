"""What is kept of a study, in studies/<name>/: report.md, figure.png and data.json."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from classicnets.api.train import versions
from classicnets.support.errors import plain_reason, suggest
from classicnets.support.files import read_named, write_atomic
from classicnets.support.names import encoded
from classicnets.support.tables import finite
from classicnets.training.recipe.serialization import from_json, parse_json

from .charts import draw
from .study import Finding, Study
from .verdicts import VERDICTS

QUICK = "-quick"  # ends the name of the directory of a quick study
# written by docs/generate.py
PUBLISHED = Path(__file__).with_name("kept.jsonl")
CHINESE = Path(__file__).with_name("chinese.json")
REPORT, FIGURE, DATA, EXPERIMENT = "report.md", "figure.png", "data.json", "experiment"
IMAGES = "images.pack"  # that a study makes for itself


@dataclass(frozen=True, repr=False)
class Kept:
    """A study with its result, as data.json holds it; see `Study` and `Finding`.

    `command` repeats it, `versions` are those of what it was computed with.
    """

    study: str
    family: str
    kind: str
    claim: str
    by: str
    source: str
    criterion: str
    shrunk: str
    verdict: str
    answer: str
    figures: Mapping[str, Any]
    runs: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict {self.verdict!r} is unknown; {suggest('', VERDICTS)}")

    def json(self) -> str:
        """All of it. The same seeds and versions give the same text."""
        return json.dumps(finite(asdict(self)), indent=1, ensure_ascii=False) + "\n"

    def text(self) -> str:
        """The report, as Markdown that reads well as plain text."""
        return "\n".join(self._lines())

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__
    _repr_markdown_ = text

    def _lines(self) -> Iterator[str]:
        yield f"# {self.study}\n"
        yield f"> {self.claim} ({self.by})\n"
        yield f"**{self.verdict}**: {self.answer}\n"
        rows = [("figure", "value"), *((k, written(v)) for k, v in self.figures.items())]
        a, b = (max(map(len, column)) for column in zip(*rows, strict=True))
        lines = [f"| {name:{a}} | {value:>{b}} |" for name, value in rows]
        yield "\n".join([lines[0], f"|{'-' * (a + 2)}|{'-' * (b + 1)}:|", *lines[1:]])
        yield f"\nCriterion, stated before: {self.criterion}\n"
        yield f"Source: {self.source}\n"
        if self.shrunk:
            yield f"What was shrunk, and is therefore not shown: {self.shrunk}\n"
        yield from (f"{note}\n" for note in self.runs.get("notes", ()))
        yield f"Again: `{self.command}`\n"
        yield "With " + ", ".join(f"{name} {one}" for name, one in self.versions.items()) + "\n"


def written(value: object) -> str:
    """A figure as one reads it.

    >>> written(60000), written(4.0599), written("no")
    ('60,000', '4.06', 'no')
    """
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def keep(study: Study, found: Finding, directory: Path, command: str) -> Kept:
    """Writes a result to its directory, data.json last."""
    facts = ("family", "kind", "claim", "by", "source", "criterion", "shrunk")
    kept = Kept(
        study=study.name,
        **{name: getattr(study, name) for name in facts},
        verdict=found.verdict,
        answer=found.answer,
        figures=dict(found.figures),
        runs=dict(found.runs),
        command=command,
        versions=versions(),
    )
    if found.chart:
        write_atomic(directory / FIGURE, draw(found.chart))
    drawn = f"\n![{study.name}]({FIGURE})\n" * bool(found.chart)
    write_atomic(directory / REPORT, encoded(kept.text() + drawn))
    write_atomic(directory / DATA, encoded(kept.json()))
    return kept


def read_kept(directory: Path) -> Kept | None:
    """What a directory holds of a study; None where it has not ended.

    Raises a ValueError for a damaged data.json, and a directory of something else.
    """
    path = directory / DATA
    if not path.exists():
        _require_ours(directory)
        return None
    try:
        kept = from_json(parse_json(read_named(path).decode()), Kept)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged: {plain_reason(error)}; remove {directory}, and run the study again"
        ) from error
    if kept.study != directory.name.removesuffix(QUICK):
        raise ValueError(
            f"{path} is of the study {kept.study}, not {directory.name}; give another --out"
        )
    return kept


@cache
def published() -> Mapping[str, Kept]:
    """Study -> the result that this version of the package has of it, without its runs."""
    lines = PUBLISHED.read_text(encoding="utf-8").splitlines()
    kept = [from_json(parse_json(line), Kept) for line in lines]
    return {one.study: one for one in kept}


@cache
def chinese() -> Mapping[str, Mapping[str, str]]:
    """Study -> its claim, by whom, the answer, the criterion, and what was shrunk, in Chinese."""
    return json.loads(CHINESE.read_text(encoding="utf-8"))


def _require_ours(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ValueError(f"{directory} is a file; a study is kept in a directory of that name")
    ours = {REPORT, FIGURE, DATA, EXPERIMENT, IMAGES}
    names = {path.name.removesuffix(".part") for path in directory.iterdir()}
    if names - ours - {".lock"}:
        raise ValueError(f"{directory} is not empty, and no study: it has no {DATA}")
