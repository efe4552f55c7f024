"""The text that users read is in the field's language: no private words.

Standard terms are epoch, image, CPU, your own module, predicted, saved for backward, resume.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LOG.md")),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "benchmarks").glob("*.md"),
    *(ROOT / "benchmarks").glob("*.py"),
    *(ROOT / "benchmarks/results").glob("*.md"),
    *(ROOT / "src").rglob("*.py"),
]
# a private word -> the field's
FORBIDDEN = {
    r"\bpictures?\b(?! of (the|a|what)\b)": "image",
    r"(?<!forward )(?<!backward )\bpass(es)? (over|through) the data\b": "epoch",
    r"\bstranger('s|s'|s)?\b": "third-party, your own",
    r"\bone's own\b": "your own",
    r"\bjudge(d|s|ment|ments)?\b": "evaluate, evaluation, metrics",
    r"\b(goes|go|going|gone|went) on (from|to the same bits|with it|where)\b": "resume",
    r"\bto the same bits\b": "bit for bit",
    r"\bthe way back\b|\bway back\b": "backward",
    r"(?<!there )\bis no (?!longer\b|new\b|more\b|gain\b|single\b)[a-z]+": "is not a ...",
    r"\bcontests?\b|\bcontestants?\b": "benchmark, contender",
    r"\bthe floor\b|\bof floor\b": "lower bound, roofline",
    r"\bmissed bars?\b|\bthe bars?\b(?! chart)": "target",
    r"\ba processor\b|\bon processors\b|\bthe processor\b": "CPU",
    r"\bfull layers?\b": "fully connected layer",
    r"\bcalled wrongly\b|\bwas called\b(?! `)|\bis called [0-9]": "predicted",
    r"\bwhat speaks for\b|\bspeaks for\b": "evidence for",
    r"\bby heart\b": "memorised",
    r"\bsuited_to\b|\bagree_on_buffers\b|\bdevice_named\b|\bcheckpoint told\b": "renamed",
}


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_no_private_word_is_left(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert found == [], f"write {FORBIDDEN[pattern]}"


def test_the_patterns_find_what_they_are_for():
    examples = (
        "all pictures are read",
        "one pass over the data",
        "a stranger's network",
        "a module of one's own",
        "the run is judged",
        "it goes on to the same bits",
        "equal to the same bits",
        "on the way back",
        "7 is no integer",
        "the contest",
        "beside the floor",
        "the bar of 2",
        "a processor without AVX",
        "two full layers",
        "it was called 4",
        "what speaks for 0",
        "learnt by heart",
        "suited_to(x)",
    )
    for pattern, example in zip(FORBIDDEN, examples, strict=True):
        assert re.search(pattern, example), pattern
    for fine in (
        "a picture of the network",
        "forward pass",
        "there is no longer a file",
        "logo.png",
    ):
        assert not any(re.search(pattern, fine) for pattern in FORBIDDEN), fine
