"""Writes what follows from the catalogue and the model files.

    python docs/generate.py            writes the files
    python docs/generate.py --check    exits with status 1 and names the files that are out of date

The networks tables of README.md and README.zh-CN.md, the list of papers in docs/index.md, the
moves in docs/moves.md, what was measured of them in docs/ideas.md, the claims in docs/claims.md
and the pictures of trainings in docs/claims, predicted and measured steps in docs/planning.md, what
trainings on few photos reach in docs/training.md, the same tables in docs/zh, the results of
studies that the package has, the builders of networks among the public names in
src/classicnets/__init__.py, what `classicnets list` shows, and docs/reference.md.
"""

import csv
import io
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))  # the catalogue of this checkout

from chinese import finding_in_chinese, rows_in_chinese, studies_in_chinese  # noqa: E402
from pictures import pictures  # noqa: E402
from reference import reference  # noqa: E402

from classicnets import builders, catalog  # noqa: E402
from classicnets.api.recipe_moves import RECIPE_MOVES, RecipeMove  # noqa: E402
from classicnets.catalog import Entry  # noqa: E402
from classicnets.designs.moves import MOVES, Move, find_move  # noqa: E402
from classicnets.studies import index  # noqa: E402
from classicnets.studies.study import TRAINING, Study  # noqa: E402
from classicnets.support.units import format_change, format_count  # noqa: E402

IDEAS = sorted((ROOT / "benchmarks/results/ideas").glob("*.json"))
CLAIMS = ROOT / "benchmarks/results/studies"


def networks() -> str:
    """A row for each network of the catalogue."""
    rows = []
    for entry in catalog.CATALOG.values():
        cells = (f"`{entry.name}`", entry.printed or "-", f"{entry.params:,}")
        cells = (*cells, format_count(entry.macs))
        rows.append(f"| {' | '.join(cells)} | {entry.published or '-'} |")
    return "\n".join(rows)


def listed() -> str:
    """The table that `classicnets list` reads, which does not import the networks."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["name", "year", "paper", "parameters", "multiply-adds", "error", "aliases"])
    for name, entry in catalog.CATALOG.items():
        assert entry.paper is not None
        paper = f"{entry.paper.authors.partition(',')[0]} et al., {entry.paper.where}"
        aliases = " ".join(alias for alias, of in catalog.ALIASES.items() if of == name)
        paper = f"after {paper}" if entry.later else paper
        figures = (entry.params, entry.macs, entry.published)
        writer.writerow([name, entry.paper.year, paper, *figures, aliases])
    return table.getvalue()


def papers() -> str:
    """A row for each paper, in the order of the catalogue, with its page."""
    entries: dict[str, list[Entry]] = {}
    for entry in catalog.CATALOG.values():
        assert entry.paper is not None
        entries.setdefault(entry.paper.page, []).append(entry)
    rows = []
    for page, members in entries.items():
        paper = members[0].paper
        assert paper is not None
        title = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8").partition("\n")[0]
        names = ", ".join(f"`{entry.name}`" for entry in members)
        link = f"[{title.removeprefix('# ')}]({page}.md)"
        rows.append(f"| {link} | {paper.title} | {paper.authors} | {paper.year} | {names} |")
    return "\n".join(rows)


def moves(found: Iterable[Move | RecipeMove]) -> str:
    """A row for each move of the papers."""
    rows = ((f"`{m.name}`", m.source, m.claim, m.looks_for) for m in found)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def idea(study: Mapping[str, Any]) -> str:
    """A row for each move of a study below that of its base network, the best first."""
    base, *others = study["variants"]
    error = f"error {fmean(base['test_errors']):.2f} %"
    notes = "\n".join(study["notes"])
    costs = (f"{base['params']:,}", f"{base['macs']:,}", _rate(base, notes))
    rows = [("the network itself", "", *costs, error, "", "", "")]
    rows += [_measured(one, base, notes) for one in sorted(others, key=lambda one: one["mean"])]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _measured(one: Mapping[str, Any], base: Mapping[str, Any], notes: str) -> tuple[str, ...]:
    return (
        f"`{one['name']}`" + " †" * one["harmful"],
        find_move(one["name"]).source,
        *(format_change(base[figure], one[figure]) for figure in ("params", "macs")),
        _rate(one, notes),
        f"{one['mean']:+.2f}",
        f"{one['low']:+.2f} to {one['high']:+.2f}",
        str(len(one["test_errors"])),
        one["verdict"],
    )


def _rate(one: Mapping[str, Any], notes: str) -> str:
    """The learning rate of a variant, and whether the search ended at its edge."""
    edge = re.search(rf"learning rate of {re.escape(one['name'])}\.net is the (\w+)", notes)
    return f"{one['lr']:g}" + (f" ({edge[1]})" if edge else "")


def claims(family: str) -> str:
    """A row for each study of a family: the claim, who makes it, the verdict, what is right."""
    rows = []
    for study in index.select(family=family):
        cells = (f"{study.claim} ({study.by})", *_found(study), f"`{study.name}`")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def criteria() -> str:
    """A row for each study: when it decides what, and what was shrunk."""
    studies = [study for family in index.FAMILIES for study in index.select(family=family)]
    return "\n".join(f"| `{one.name}` | {one.criterion} | {one.shrunk} |" for one in studies)


def _found(study: Study) -> tuple[str, str]:
    """The verdict that is kept of a study, and its answer; or how long it takes."""
    if (path := CLAIMS / f"{study.name}.json").exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        return f"**{kept['verdict']}**", kept["answer"]
    if study.needs_gpu:
        return "**not yet run**", f"for a GPU: `classicnets study {study.name} --device cuda`"
    return "**not yet run**", f"about {study.minutes:,g} minute{'s' * (study.minutes > 1)}"


def chinese_claims(text: str) -> str:
    """The page with the verdicts that are kept, and the answers of trainings, in each row."""

    def row(found: re.Match[str]) -> str:
        study = index.STUDIES[found[4]]
        verdict, answer = map(finding_in_chinese, _found(study))
        right = answer if study.kind == TRAINING else found[3].strip()
        return f"| {found[1]} | {verdict} | {right} | `{found[4]}` |"

    return re.sub(r"^\| (.*?) \|(.*?)\|(.*?)\| `([a-z0-9-]+)` \|$", row, text, flags=re.MULTILINE)


def kept() -> str:
    """A line of JSON for each study that has been run: its result, and of its runs the notes."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(CLAIMS.glob("*.json"))]
    short = [row | {"runs": {"notes": row["runs"].get("notes", [])}} for row in rows]
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in short)


def few_photos() -> str:
    """A row for each training on few photos: seconds, steps, errors in % and that of chance."""
    kept = json.loads((ROOT / "benchmarks/results/few_photos.json").read_text(encoding="utf-8"))
    rows = []
    for row in kept["rows"]:
        size = f"{row['photos']:,}, {row['classes']}"
        errors = (row["train_error"], row["new_error"], 100 - 100 / row["classes"])
        cells = (f"`{row['network']}`", size, f"{row['seconds']:,}", f"{row['steps']:,}")
        rows.append(f"| {' | '.join((*cells, *(f'{error:.1f}' for error in errors)))} |")
    return "\n".join(rows)


def memory_steps() -> str:
    """A row for each network: predicted and measured MiB of a step, and their ratio."""
    rows = []
    for network, cases in _planned("planning"):
        cells = []
        for case in cases:
            predicted, measured = (case[name] / 2**20 for name in ("predicted", "classicnets"))
            cells += [f"{predicted:,.0f}", f"{measured:,.0f}", f"{predicted / measured:.2f}"]
        rows.append(f"| {' | '.join((*network, *cells))} |")
    return "\n".join(rows)


def time_steps() -> str:
    """A row for each network: a step in milliseconds; the prediction and `--measure` beside it."""
    rows = []
    for network, cases in _planned("planning-time"):
        cells = []
        for case in cases:
            step = case["classicnets"]
            cells.append(_milliseconds(step))
            for name in ("predicted", "five steps"):
                cells += [_milliseconds(case[name]), f"{case[name] / step:.2f}"]
        rows.append(f"| {' | '.join((*network, *cells))} |")
    return "\n".join(rows)


def _planned(benchmark: str) -> Iterable[tuple[tuple[str, str, str], list[dict[str, float]]]]:
    """(name, batch, x if fitted) and, in fp32 and bf16, the median of each contender."""
    path = ROOT / f"benchmarks/results/{benchmark}.json"
    found: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
        name, batch, _, *fitted = case["name"].split(", ")
        key = (f"`{name}`", batch.removeprefix("batch "), "x" if fitted else "")
        medians = {name: one["median"] for name, one in case["contenders"].items()}
        found.setdefault(key, []).append(medians)
    return found.items()


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}" if seconds < 0.01 else f"{1e3 * seconds:,.0f}"


def public_names() -> str:
    """The builders among the public names."""
    quoted = " ".join(f'"{name}",' for name in sorted(builders.ENTRIES | builders.FAMILIES))
    return textwrap.indent(textwrap.fill(quoted, 96), "    ")


def public_types() -> str:
    """What type checkers are told of those of the catalogue."""
    return "\n".join(f"    {name}: Builder" for name in sorted(builders.ENTRIES))


def tables() -> dict[str, dict[str, str]]:
    """Page of docs/ -> what a table is about -> its rows."""
    ideas = {path.stem: idea(json.loads(path.read_text(encoding="utf-8"))) for path in IDEAS}
    return {
        "index.md": {"papers": papers()},
        "moves.md": {"moves": moves(MOVES), "recipe moves": moves(RECIPE_MOVES)},
        "ideas.md": ideas,
        "training.md": {"few photos": few_photos()},
        "planning.md": {"memory of steps": memory_steps(), "time of steps": time_steps()},
    }


def generated() -> dict[Path, str]:
    """Path -> what the file should hold."""
    texts = {
        ROOT / "README.md": _with_rows("README.md", "networks", networks()),
        ROOT / "README.zh-CN.md": _with_rows(
            "README.zh-CN.md", "networks", rows_in_chinese(networks())
        ),
        ROOT / "docs/reference.md": reference(),
        ROOT / "src/classicnets/api/networks.csv": listed(),
        ROOT / "src/classicnets/studies/kept.jsonl": kept(),
    }
    for name, parts in tables().items():
        page, twin = ROOT / "docs" / name, ROOT / "docs/zh" / name
        chinese = {
            what: rows if what == "papers" else rows_in_chinese(rows)
            for what, rows in parts.items()
        }
        texts |= {page: _with_tables(page, parts), twin: _with_tables(twin, chinese)}
    page = ROOT / "docs/claims.md"
    rows = {family: claims(family) for family in index.FAMILIES}
    texts[page] = _with_tables(page, rows | {"criteria": criteria()})
    page = ROOT / "docs/zh/claims.md"
    texts[page] = chinese_claims(page.read_text(encoding="utf-8"))
    texts |= {ROOT / "docs/claims" / name: text for name, text in pictures().items()}
    texts[ROOT / "src/classicnets/studies/chinese.json"] = studies_in_chinese(texts[page])
    init = ROOT / "src/classicnets/__init__.py"
    text = init.read_text(encoding="utf-8")
    names, types = r"(?<=_BUILDERS = \(\n).*?(?=\n\))", r"(?<=as Recipe\n\n).*?: Builder(?=\n\n)"
    for place, content in ((names, public_names()), (types, public_types())):
        text, found = re.subn(place, lambda _, new=content: new, text, count=1, flags=re.DOTALL)
        assert found, f"{init} has lost the place of {content[:20]}"
    return {**texts, init: text}


def _with_tables(page: Path, parts: Mapping[str, str]) -> str:
    """The page with new rows in its tables; a page that is not there is reported by the tests."""
    text = _now(page)
    for what, rows in parts.items() if text else ():
        text = _with_rows(text, what, rows)
    return text


def _with_rows(file: str, what: str, rows: str) -> str:
    """The file, or its text, with new rows below the head of the table between its two comments."""
    text = file if "\n" in file else (ROOT / file).read_text(encoding="utf-8")
    table = rf"(<!-- {what}: generated -->\n\n\|.*\n\|.*\n)(?:\|.*\n)*(\n<!-- end {what} -->)"
    found = re.search(table, text)
    assert found, f"{file[:60]} has no table between comments about {what}"
    return text[: found.start()] + f"{found[1]}{rows}\n{found[2]}" + text[found.end() :]


def _now(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> int:
    """Writes the files, or checks them."""
    check = "--check" in sys.argv[1:]
    stale = {path: text for path, text in generated().items() if _now(path) != text}
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)} {'is out of date' if check else 'written'}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
