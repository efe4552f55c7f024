"""Runs contests and writes what they found: python benchmarks/run.py [CONTEST ...]

With --device cuda those on a GPU, after a look whether all of it is right there. See
benchmarks/README.md.
"""

import argparse
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import commands
import correct
import epochs
import folders
import gpu
import inference
import lrn
import place
import report
import steps
import torch
from harness import Contest, Refused, race

from classicnets.support.devices import device_name

RESULTS = Path(__file__).parent / "results"
CORRECT = "correct"
SMALL = ("resnet20", "lenet5")


def contests(quick: bool, device: str = "cpu") -> dict[str, Contest]:
    if device == "cuda":
        return {contest.name: contest for contest in gpu.contests(quick)}
    files = (steps, lrn, inference, epochs, folders, commands)
    return {contest.name: contest for file in files for contest in file.contests(quick)}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contests", nargs="*", metavar="CONTEST", help="all of them if none")
    parser.add_argument("--list", action="store_true", help="their names, and nothing else")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: does it run?")
    parser.add_argument("--rounds", type=int, default=None, help="if not given, 7; of sprints 25")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each side")
    parser.add_argument(
        "--out", type=Path, default=None, help="benchmarks/results, on a GPU its part, if not given"
    )
    wanted = parser.parse_args(words)
    found = contests(wanted.quick, wanted.device)
    if wanted.list:
        checked = [f"{CORRECT:26}Is it right there?"] * (wanted.device == "cuda")
        print("\n".join([*checked, *(f"{name:26}{c.about}" for name, c in found.items())]))
        return 0
    if wanted.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU, and this torch finds none")
    place.move_to(wanted.device)
    names = chosen(parser, wanted.contests, [*[CORRECT] * place.on_gpu(), *found])
    # what a quick run finds must not lie where figures are looked up
    out = wanted.out or (Path(tempfile.mkdtemp()) if wanted.quick else results())
    conditions = {
        "command": shlex.join(["python", "benchmarks/run.py", *words]),
        "quick": wanted.quick,
        "rounds": wanted.rounds or (1 if wanted.quick else None),
        "threads": wanted.threads,
        "device": device_name(place.device),
    }
    complete = True
    if CORRECT in names:
        names.remove(CORRECT)
        if not right(out, conditions):
            print("nothing is timed that is wrong", file=sys.stderr)
            return 1
    for name in names:
        complete &= held(found[name], out, conditions)
        if place.on_gpu():
            report.write_summary(out)
    print(f"written to {out}")
    return 0 if complete else 1


def chosen(parser: argparse.ArgumentParser, wanted: list[str], there: list[str]) -> list[str]:
    """The contests of these names, or whose names begin with them, as steps-resnet50 with steps."""
    for name in wanted:
        if not any(one == name or one.startswith(f"{name}-") for one in there):
            parser.error(f"there is no contest {name!r}; there is {', '.join(there)}")
    return [
        one
        for one in there
        if not wanted or any(one == name or one.startswith(f"{name}-") for name in wanted)
    ]


def results() -> Path:
    """Figures of the processor lie in `results` itself, those of each GPU in its own part."""
    if not place.on_gpu():
        return RESULTS
    return RESULTS / re.sub(r"[^a-z0-9]+", "-", device_name(place.device).lower()).strip("-")


def right(out: Path, conditions: dict[str, Any]) -> bool:
    """Writes whether it is."""
    names = ("resnet18", "alexnet", *SMALL) if conditions["quick"] else (*gpu.TRAINED, *SMALL)
    found = []
    for check in correct.checks(names, SMALL):
        found.append(check)
        print(f"{'right' if check.right else 'WRONG'}: {check}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    text = correct.table(found, f"{conditions['device']}, torch {torch.__version__}")
    (out / f"{CORRECT}.md").write_text(text, encoding="utf-8")
    place.rest()
    return all(check.right for check in found)


def held(contest: Contest, out: Path, conditions: dict[str, Any]) -> bool:
    """Whether a contest was held with everybody in it; its results are printed and written."""
    conditions = conditions | {"rounds": conditions["rounds"] or contest.rounds}
    told = conditions["rounds"], conditions["threads"], conditions["quick"]
    try:
        outcomes = (contest.hold or race)(contest, *told, device=place.device.type)
    except Refused as reason:
        print(f"{contest.name} is refused: {reason}\n", file=sys.stderr)
        return False
    print(report.write(contest, outcomes, out, conditions), flush=True)
    statuses = [result.status for outcome in outcomes for result in outcome.results.values()]
    return not any(status.startswith("failed") for status in statuses)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
