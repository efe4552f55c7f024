"""Runs by what names them: a directory, a place on the hub, or a network with published weights.

What only the last two need is imported when one of them is named.
"""

from pathlib import Path

from classicnets.support.files import exists
from classicnets.support.names import HUB
from classicnets.training.run.directory import Run, open_run


def open_any(run: str | Path) -> Run:
    """A run directory, or a run on the hub, `hf:user/name`.

    Raises a ValueError for a run that is missing or damaged, and where `fetch_run` does.
    """
    if not str(run).startswith(HUB):
        return open_run(Path(run))
    from classicnets.hub.client import fetch_run  # noqa: PLC0415  # most runs are not there

    return open_run(fetch_run(str(run)))


def open_trained(run: str | Path) -> Run:
    """A run directory, a run on the hub, `hf:user/name`, or published weights by the name of their
    network: `resnet18`, or `vgg_d@keras` where there are several.

    Weights are downloaded once, and kept in the cache as a run. Raises a ValueError for a run that
    is missing or damaged, and for a file that is not the published one; an OSError that says where
    to put it when it cannot be downloaded.
    """
    name = str(run)
    if "/" in name or exists(Path(name)):
        return open_any(name)
    from .pretrained import open_published  # noqa: PLC0415  # a run there is needs none of it

    return open_published(name) or open_any(name)
