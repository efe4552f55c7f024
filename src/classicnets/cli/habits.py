"""What people type who know other tools, answered with what it is called here."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from classicnets.support.errors import shell
from classicnets.support.files import exists
from classicnets.support.names import braced
from classicnets.support.other_tools import SCHEDULE, THEIRS, by_word

# what there is not, and what there is in its place
NONE = {
    "classes and channels are those of the data": "--num-classes --nc --nb-classes --classes "
    "--in-chans --in-channels --channels",
    "`classicnets train NETWORK --weights torchvision` starts from published weights, and "
    "`classicnets weights` lists them": "--pretrained --finetune --transfer",
    "progress is printed as it goes, and metrics.csv has a row for each epoch": "--print-freq "
    "--log-interval --log-every --verbose -v -p --save-freq --save-period --checkpoint-hist",
    "a folder without val/ and test/ is split in fixed parts": "--val-split --valid-pct --split "
    "--val-ratio --val-pct --fraction",
    "a batch that does not fit into memory is split, and gradients are accumulated": "--accumulate "
    "--grad-accum-steps --gradient-accumulation-steps --accum-iter --accumulation-steps --nbs",
    "several processes are started by torchrun": "--world-size --dist-url --dist-backend --rank "
    "--local-rank --local_rank --nproc --gpus --multiprocessing-distributed --distributed --nodes",
    "the recipes have none of it; `classicnets recipe NETWORK` shows what they have": "--clip-grad "
    "--mixup --cutmix --mosaic --drop --dropout --drop-path --reprob --random-erase --aa "
    "--auto-augment --randaugment --color-jitter --rect --bn-momentum --sync-bn",
    "evaluation is a command, `classicnets evaluate RUN`": "--test-only --eval --eval-only "
    "--evaluate --validate --val --test --test-every",
}
VERBS = {
    "train": "fit learn finetune fine-tune training",
    "train --resume": "resume continue",
    "evaluate": "val validate validation eval test",
    "predict": "infer inference classify detect prediction",
    "show": "summary summarise summarize info describe model inspect",
    "list": "models networks ls zoo archs",
    "speed": "benchmark bench time profile",
    "see": "visualize visualise explain plot gradcam cam look",
    "recipe": "config cfg hyp settings",
    "pack": "prepare convert",
    "push": "upload publish share",
    "--version": "version",
    "--help": "help",
}


class Verb(NamedTuple):
    """A verb's options, each with whether it takes a value, and the names of its arguments."""

    name: str
    options: Mapping[str, bool]
    arguments: Sequence[str]

    def has(self, ours: str) -> bool:
        """Whether what stands in `OURS` is one of its options or arguments."""
        word = ours.partition(" ")[0]
        return word in self.options or word in self.arguments


ABSENT, THEIR_VERBS = by_word(NONE), by_word(VERBS)


def ours_for(verb: Verb, word: str) -> str | None:
    """What an option of another tool is in this verb, with {} for its value; None if nothing."""
    option = re.sub("_", "-", word.lower()) if word.startswith("--") else word
    if option in verb.options:
        return f"{option} {{}}" if verb.options[option] else option
    return next((ours for ours in THEIRS.get(option, ()) if verb.has(ours)), None)


def answer_for(verb: Verb, word: str, verbs: Iterable[Verb]) -> str:
    """What to say after an option that this verb does not have."""
    option = word.lower().replace("_", "-") if word.startswith("--") else word
    if ours := ours_for(verb, word):
        return f"{verb.name} has no {word}; write {ours.format('VALUE')}"
    if option in ABSENT:
        return f"{verb.name} has no {word}: {ABSENT[option][0]}"
    for other in sorted(verbs, key=lambda other: other.name != "train"):
        if other.name != verb.name and (ours := ours_for(other, word)):
            return (
                f"{verb.name} has no {word}; `classicnets {other.name}` has {ours.format('VALUE')}"
            )
    near = get_close_matches(option, verb.options, n=1, cutoff=0.7)
    hint = f"did you mean {near[0]}?" if near else f"`classicnets {verb.name} --help` shows all"
    return f"{verb.name} has no {word}; {hint}"


def setting_instead(verb: Verb, name: str, value: str) -> str | None:
    """What to say after `--set NAME=VALUE` where that is not a field of a recipe."""
    word = f"--{name.replace('_', '-')}"
    if ours := ours_for(verb, word):
        return f"a recipe has no {name}; write {ours.format(shell(value))}"
    return f"a recipe has no {name}: {ABSENT[word][0]}" if word in ABSENT else None


class Token(NamedTuple):
    """A word of a command: an option (with its value, if it takes one) or an argument."""

    option: str
    value: str | None


def tokens(verb: Verb, words: Sequence[str]) -> Iterator[Token]:
    """The options and arguments of a command; `key=value` is one where other tools write so."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            yield from (Token("", each) for each in rest)
            return
        if len(word) < 2 or word[0] != "-":
            key, sign, value = word.partition("=")
            hydra = re.fullmatch("[a-z][a-z0-9_]*", key) and not exists(word)
            known = sign and hydra and _is_known(verb, f"--{key.replace('_', '-')}")
            yield Token(f"{key}=", value) if known else Token("", word)
            continue
        option, sign, value = word.partition("=")
        if word[1] != "-" and len(word) > 2 and word[:2] in verb.options:
            option, sign, value = word[:2], "=", word[2:]
        ours = ours_for(verb, option)
        takes = verb.options[option] if option in verb.options else ours and _takes_value(ours)
        takes = takes or (ours == SCHEDULE and option != "--cos-lr")
        if takes and not sign and rest:
            sign, value = "=", rest.pop(0)
        yield Token(option, value if sign else None)


def _is_known(verb: Verb, option: str) -> bool:
    return bool(ours_for(verb, option)) or option in ABSENT


def _as_option(word: str) -> str:
    """`--key` for a token `key=`."""
    return f"--{word[:-1]}" if word.endswith("=") else word


def _takes_value(ours: str) -> bool:
    return "{" in ours or ours.isupper()


def answer(verb: Verb, words: Sequence[str], verbs: Iterable[Verb] = ()) -> str | None:
    """What to say about a command of another tool, with the call that does it here if all of it is
    known; None for a command as it is written here.
    """
    found = list(tokens(verb, words))
    if reply := _torn_apart(verb, found):
        return reply
    foreign = [t.option for t in found if t.option and t.option not in verb.options]
    several = verb.name == "train" and sum(not t.option for t in found) > 1
    if not foreign and not several:
        return None
    call = _call(verb, found)
    if call is None:
        unknown = (w for w in foreign if ours_for(verb, _as_option(w)) is None)
        return answer_for(verb, next(unknown), verbs)
    what = f"has no {', '.join(foreign)}" if foreign else "takes one network, and data after --data"
    return f"{verb.name} {what}; write: classicnets {call}"


def _torn_apart(verb: Verb, found: Sequence[Token]) -> str | None:
    """What to say where the shell has made several words of the braces in the name of shards."""
    given = [t.value for t in found if t.option in ("", "--data") and t.value]
    names = [value for value in given if value.endswith(".tar")]
    places = {name[: name.rfind("/") + 1] for name in names}
    if len(names) < 2 or len(places) > 1 or not (verb.has("--data") or verb.has("DATA")):
        return None
    stems = [name.rpartition("/")[2].removesuffix(".tar") for name in names]
    whole = f"{places.pop()}{braced(stems)}.tar"
    typed = shell(*["--data"] * verb.has("--data"), whole)
    return f"the shell has made {len(names)} words of the shards; quote their name: {typed}"


def _call(verb: Verb, found: Sequence[Token]) -> str | None:
    """The command in our words; None where part of it is not known."""
    first: list[str] = []
    last: list[str] = []
    loose: list[str] = []
    options: list[str] = []
    for option, value in found:
        if not option:
            loose.append(shell(value or ""))
            continue
        ours = ours_for(verb, _as_option(option))
        if ours is None:
            return None
        shown = "VALUE" if value is None else shell(value)
        if ours.isupper():
            (last if ours == "IMAGE" else first).append(ours if value is None else shown)
        else:
            options.append(ours.format(shown))
    if verb.name == "train":
        first, loose, options = _with_network(first, loose, options)
    options = list(dict.fromkeys(options))
    if SCHEDULE in options and (peak := next((o for o in options if o.startswith("--lr ")), "")):
        options.remove(peak)  # which a schedule has
        options[options.index(SCHEDULE)] = SCHEDULE.replace("0.01", peak.removeprefix("--lr "))
    return " ".join([verb.name, *first, *loose, *last, *options])


def _with_network(
    first: list[str], loose: list[str], options: list[str]
) -> tuple[list[str], list[str], list[str]]:
    """Of the arguments of train one is the network, and another one the data."""
    if any(option.startswith("--resume") for option in options):
        return [], [], options
    given = sorted(loose, key=exists) if not first else loose
    network, data = (first[:1], given) if first else (given[:1], given[1:])
    if not any(option.startswith("--data ") for option in options):
        options = ["--data " + word for word in data[:1]] + options
    return network or ["NETWORK"], [], options


def verb_for(word: str) -> str | None:
    """Our verb for a verb of another tool."""
    return next(iter(THEIR_VERBS.get(word.lower(), ())), None)
