"""Runs contests and writes what they found: python benchmarks/run.py [CONTEST ...]

See benchmarks/README.md.
"""

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

import commands
import epochs
import folders
import inference
import lrn
import report
import steps
import torch
from harness import Contest, Refused, race

RESULTS = Path(__file__).parent / "results"


def contests(quick: bool) -> dict[str, Contest]:
    files = (steps, lrn, inference, epochs, folders, commands)
    return {contest.name: contest for file in files for contest in file.contests(quick)}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contests", nargs="*", metavar="CONTEST", help="all of them if none")
    parser.add_argument("--list", action="store_true", help="their names, and nothing else")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: does it run?")
    parser.add_argument("--rounds", type=int, default=None, help="7 if not given")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each side")
    parser.add_argument("--out", type=Path, default=None, help="benchmarks/results if not given")
    wanted = parser.parse_args(words)
    found = contests(wanted.quick)
    if wanted.list:
        print("\n".join(f"{name:12}{contest.about}" for name, contest in found.items()))
        return 0
    if unknown := [name for name in wanted.contests if name not in found]:
        parser.error(f"there is no contest {unknown[0]!r}; there is {', '.join(found)}")
    # what a quick run finds must not lie where figures are looked up
    out = wanted.out or (Path(tempfile.mkdtemp()) if wanted.quick else RESULTS)
    rounds = wanted.rounds or (1 if wanted.quick else 7)
    conditions = {
        "command": shlex.join(["python", "benchmarks/run.py", *words]),
        "quick": wanted.quick,
        "rounds": rounds,
        "threads": wanted.threads,
    }
    complete = True
    for name in wanted.contests or found:
        try:
            outcomes = race(found[name], rounds, wanted.threads, wanted.quick)
        except Refused as reason:
            print(f"{name} is refused: {reason}\n", file=sys.stderr)
            complete = False
            continue
        print(report.write(found[name], outcomes, out, conditions), flush=True)
        results = [result for outcome in outcomes for result in outcome.results.values()]
        complete &= not any(result.status.startswith("failed") for result in results)
    print(f"written to {out}")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
