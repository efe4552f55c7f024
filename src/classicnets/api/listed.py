"""The networks of the catalogue as a table, for what must not wait for torch."""

import csv
from pathlib import Path

NETWORKS = Path(__file__).with_name("networks.csv")  # written by docs/generate.py


def listed() -> list[dict[str, str]]:
    """A row per network, in order of publication: name, year, paper, parameters, multiply-adds,
    error and aliases.
    """
    with NETWORKS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
