"""All studies by their names, those that are asked for, and running one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from classicnets.api.paired import Experiment
from classicnets.support.errors import first_few, option, plain_reason, shell, suggest

from . import alexnet, googlenet, history, lenet, resnet, vgg, zfnet, zfnet_layers
from .keeping import QUICK, Kept, keep, published, read_kept
from .lab import Lab
from .study import FAMILIES, KINDS, TRAINING, Study

FILES = (history, lenet, alexnet, zfnet, zfnet_layers, vgg, googlenet, resnet)
STUDIES = {one.name: one for file in FILES for one in vars(file).values() if isinstance(one, Study)}


def select(names: Sequence[str] = (), kind: str = "", family: str = "") -> list[Study]:
    """The studies of these names, by default all, of a kind and family.

    Raises a ValueError for an unknown name, kind or family, with the nearest names.
    """
    for what, value, known in (("kind", kind, KINDS), ("family", family, FAMILIES)):
        if value and value not in known:
            raise ValueError(f"no {what} {value!r}; {suggest(value, known)}")
    for name in names:
        if name not in STUDIES:
            near = suggest(name, STUDIES)
            near = near if near.startswith("did") else "`classicnets study` lists all"
            if name in FAMILIES:
                near = f"`classicnets study {option('family', name)}` lists those of {name}"
            raise ValueError(f"no study {name!r}; {near}")
    wanted = [STUDIES[name] for name in dict.fromkeys(names)] or list(STUDIES.values())
    found = [one for one in wanted if kind in ("", one.kind) and family in ("", one.family)]
    if not found:
        which = " and ".join(filter(None, [f"kind {kind}" * bool(kind), f"family {family}"]))
        raise ValueError(f"none of {first_few([one.name for one in wanted])} is of {which}")
    return found


def state(study: Study, root: Path) -> str:
    """The verdict of a study that is kept in a directory below `root`, or how far it is there; else
    the verdict that this version of the package has of it.
    """
    directory = root / study.name
    try:
        kept = read_kept(directory)
    except ValueError:
        return "damaged"
    if kept:
        return kept.verdict
    if directory.exists():
        return "begun"
    known = published().get(study.name)
    return known.verdict if known else "not yet run"


def study(
    name: str,
    out: str | Path = "studies",
    seeds: int | None = None,
    quick: bool = False,
    data: str | Path | None = None,
    device: str = "auto",
    processes: int | None = None,
    train: Callable[[Experiment], Any] = Experiment.finish,
) -> Kept:
    """Runs a study, or resumes it, and keeps its result in the directory `out`/`name`.

    The rest is for those that train: `seeds` is the number of pairs, by default as many as the
    verdict needs; `quick` divides the epochs by four, in a directory of its own; `data` replaces
    the study's own; `train` finishes an experiment, and may show how it comes on. The result prints
    itself as a report.

    Raises a ValueError for an unknown name, too few seeds, data that are missing, and a directory
    that is damaged or holds something else.

    >>> study("vgg-batch")
    Traceback (most recent call last):
    ValueError: no study 'vgg-batch'; did you mean vgg-batches or vgg-stack or vgg-depth?
    """
    (one,) = select([name])
    given = {"seeds": seeds, "quick": quick, "data": data}
    for left in given:
        if given[left] and left not in taken(one, given):
            raise ValueError(f"{name} takes no {option(left, given[left])}: {_why(one)}")
    directory = place(out, name, quick)
    own = one.data if data is None else str(data)
    lab = Lab(name, directory, seeds, quick, own, device, processes, train)
    read_kept(directory)
    found = one.run(lab)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return keep(one, found, directory, _command(one, lab))
    except OSError as error:
        raise ValueError(f"cannot write {directory}: {plain_reason(error)}") from error


def taken(study: Study, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings `seeds`, `quick` and `data` that a study takes."""
    takes = {"seeds": study.kind == TRAINING, "quick": study.kind == TRAINING, "data": study.data}
    return {name: value for name, value in given.items() if takes[name]}


def _why(study: Study) -> str:
    if study.kind == TRAINING:
        return "its images are a part of it"
    return "it trains nothing"


def place(out: str | Path, name: str, quick: bool = False) -> Path:
    """The directory that a study is kept in."""
    return Path(out) / f"{name}{QUICK * quick}"


def _command(study: Study, lab: Lab) -> str:
    """The command that repeats a study, but for the paths of this machine."""
    words: list[object] = ["classicnets", "study", study.name]
    if study.kind == TRAINING:
        words += ["--seeds", lab.seeds] if lab.seeds else []
        words += ["--quick"] if lab.quick else []
        words += ["--data", Path(lab.data).name] if lab.data != study.data else []
    return shell(*words)
