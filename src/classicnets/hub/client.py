"""Runs on the Hugging Face hub, by its own client, which has the token and the cache.

The token is that of `hf auth login`, or HF_TOKEN. What is fetched is data: only files of a run, and
none beyond its size.
"""

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from classicnets.support.errors import option, plain_reason
from classicnets.support.names import HUB
from classicnets.support.progress import progress
from classicnets.training.run.directory import DESIGN, MEAN

# the files of a run that are read -> the most bytes of each
READ = {
    "run.json": 2**24,
    "weights.safetensors": 2**32,
    MEAN: 2**28,
    DESIGN: 2**20,
    "metrics.jsonl": 2**26,
}
WRITTEN = (*READ, "metrics.csv", "curve.png", "README.md")
BEFORE = "; with HF_HUB_OFFLINE=1 what was fetched before is used"
PLACE = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
ERRNO = re.compile(r"^\[Errno \d+\] ")
TIMEOUT = 30  # seconds until a hub that does not answer is given up
REVISION = re.compile(r"[\w.][\w./-]{0,199}", re.ASCII)


class Place(NamedTuple):
    """`user/name` on the hub, at a revision: a branch, a tag or a commit; empty for the newest."""

    repo: str
    revision: str

    def __str__(self) -> str:
        return f"{HUB}{self.repo}{'@' * bool(self.revision)}{self.revision}"


@dataclass(frozen=True)
class Pushed:
    """A run on the hub: its address, how it is named here, and its files with their bytes."""

    url: str
    name: str
    files: dict[str, int]

    def __str__(self) -> str:
        size = sum(self.files.values()) / 10**6
        return f"{self.name}: {len(self.files)} files, {size:,.1f} MB, at {self.url}"


def parse_place(name: str) -> Place:
    """`user/name` or `hf:user/name`, with or without `@revision`. Raises a ValueError."""
    repo, at, revision = name.removeprefix(HUB).partition("@")
    bad = not PLACE.fullmatch(repo) or "--" in repo or ".." in f"{repo}{revision}"
    if bad or (at and not REVISION.fullmatch(revision)):
        raise ValueError(
            f"{name!r} cannot be a place on the hub; it is written user/name, or user/name@revision"
        )
    return Place(repo, revision)


def fetch_run(name: str) -> Path:
    """The folder with the files of the run `hf:user/name`, in the client's cache.

    Raises a ValueError for a place that is not there, is closed, or holds no run, and where the hub
    cannot be reached.
    """
    place, hub = parse_place(name), _client(name)
    try:
        with _in_one_sentence(place, BEFORE):
            revision = place.revision or None
            info = hub.HfApi().model_info(
                place.repo, revision=revision, files_metadata=True, timeout=TIMEOUT
            )
    except hub.errors.OfflineModeIsEnabled:
        return _fetched_before(place)
    _require_run(place, {one.rfilename: one.size or 0 for one in info.siblings or ()})
    with _in_one_sentence(place, BEFORE):
        return _snapshot(place)


def _snapshot(place: Place, local: bool = False) -> Path:
    """The folder with the files, downloaded or of an earlier download."""
    download = _client(str(place)).snapshot_download
    known = {"allow_patterns": list(READ), "local_files_only": local}
    return Path(
        download(place.repo, revision=place.revision or None, tqdm_class=_reporting(place), **known)
    )


def _reporting(place: Place) -> type:
    """A bar for the client that draws nothing, and tells how many bytes have come."""
    from tqdm import tqdm  # noqa: PLC0415  # comes with the client

    report = progress.get()  # whose context the client's threads do not have

    class Reporting(tqdm):
        most = 0

        def __init__(self, *args: Any, **options: Any):
            super().__init__(*args, **options | {"file": io.StringIO()})

        def display(self, *_: Any, **__: Any) -> None:
            if self.unit == "B" and self.total:
                Reporting.most = max(Reporting.most, int(self.n))
                report(str(place), Reporting.most, int(self.total))

    return Reporting


def _fetched_before(place: Place) -> Path:
    hub = _client(str(place))
    try:
        return _snapshot(place, local=True)
    except hub.errors.LocalEntryNotFoundError as error:
        raise ValueError(
            f"{place} has not been fetched before, and HF_HUB_OFFLINE is set"
        ) from error


def _require_run(place: Place, files: dict[str, int]) -> None:
    if "run.json" not in files:
        raise ValueError(f"{place} is not a run: it has no run.json")
    for name, most in READ.items():
        if (size := files.get(name, 0)) > most:
            raise ValueError(
                f"{name} of {place} has {size:,} bytes; at most {most:,} are downloaded"
            )


def publish(
    folder: Path, name: str, private: bool = False, exist_ok: bool = False, message: str = ""
) -> Pushed:
    """Uploads the files of a run as one commit; with `exist_ok` in the place of those there.

    Raises a ValueError for a place that exists, or that one may not write to, and where the hub
    cannot be reached.
    """
    place, hub = parse_place(name), _client(name)
    if place.revision:
        raise ValueError(f"a run is pushed to user/name without a revision, not to {name}")
    files = {n: (folder / n).stat().st_size for n in WRITTEN if (folder / n).exists()}
    api = hub.HfApi()
    try:
        with _in_one_sentence(place):
            url = api.create_repo(place.repo, private=private, exist_ok=exist_ok)
            api.upload_folder(
                repo_id=place.repo,
                folder_path=folder,
                allow_patterns=list(files),
                delete_patterns=[n for n in WRITTEN if n not in files],
                commit_message=message or "Push a run of classicnets",
            )
    except hub.errors.OfflineModeIsEnabled as error:
        raise ValueError(f"{place} cannot be written while HF_HUB_OFFLINE is set") from error
    return Pushed(str(url), str(place), files)


@contextmanager
def _in_one_sentence(place: Place, otherwise: str = "") -> Iterator[None]:
    """Turns what the client raises into a ValueError of one sentence, but for its offline mode.

    `otherwise` says what to do where there is no connection.
    """
    hub = _client(str(place))
    errors = hub.errors
    try:
        with _quiet(hub):
            yield
    except errors.GatedRepoError as error:
        raise ValueError(
            f"{place} is open to those only who asked for access, at {_address(hub, place)}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"there is no revision {place.revision} of {HUB}{place.repo}") from error
    except errors.HfHubHTTPError as error:
        raise ValueError(_refused(place, error)) from error
    except errors.OfflineModeIsEnabled:
        raise
    except Exception as error:  # of its transport, whichever that is
        cause = _first_cause(error)
        if isinstance(cause, errors.HfHubHTTPError):
            raise ValueError(_refused(place, cause)) from error
        wrong = isinstance(cause, json.JSONDecodeError)
        reason = "it does not answer as a hub does" if wrong else ERRNO.sub("", plain_reason(cause))
        raise ValueError(f"the hub cannot be reached for {place}: {reason}{otherwise}") from error


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _refused(place: Place, error: Any) -> str:
    status = error.response.status_code
    login = "log in with `hf auth login`, or set HF_TOKEN"
    if status == 401:
        return f"the hub does not show {place} to you: it is private or not there; {login}"
    if status == 403:
        return f"the hub does not let you do this with {place}; {login} to one who may"
    if status == 404:
        return f"there is no {place} on the hub, or it is private and not yours"
    if status == 409:
        return f"{place} exists; add {option('exist_ok')} to replace the run there by a new commit"
    said = getattr(error, "server_message", None) or f"status {status}"
    return f"the hub refuses {place}: {str(said).partition(chr(10))[0]}"


def _address(hub: Any, place: Place) -> str:
    return f"{hub.constants.ENDPOINT}/{place.repo}"


def _client(name: str) -> Any:
    """The package huggingface_hub. Raises a ValueError where it is missing."""
    try:
        import huggingface_hub  # noqa: PLC0415  # an extra
        import huggingface_hub.errors  # noqa: PLC0415
        import huggingface_hub.utils  # noqa: PLC0415
    except ImportError:
        raise ValueError(
            f"{name} is on the hub, which needs huggingface_hub: pip install 'classicnets[hub]'"
        ) from None
    return huggingface_hub


@contextmanager
def _quiet(hub: Any) -> Iterator[None]:
    """Without the client's bars and warnings."""
    drawn, said = not hub.utils.are_progress_bars_disabled(), hub.utils.logging.get_verbosity()
    hub.utils.logging.set_verbosity_error()
    try:
        if drawn:
            hub.utils.disable_progress_bars()
        yield
    finally:
        hub.utils.logging.set_verbosity(said)
        if drawn:
            hub.utils.enable_progress_bars()
