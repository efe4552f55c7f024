"""How hostile inputs are made of valid ones: changes of bytes, of words, and of values in JSON."""

import copy
import random
import struct
from typing import Any

VALUES = [
    *(None, True, -1, 0, 3, 2**31, 2**63, int("9" * 400), 0.5, -0.5, float("nan"), float("inf")),
    *(1e300, "", "x", "\x1b]0;x\x07", "\ud800", [], [1], {}, {"kind": "SGD"}, {"kind": 3}),
    *([[]] * 3, ["a"] * 3, "../../etc/passwd", "evil.py:net", "<script>alert(1)</script>"),
    *("[red]x[/red]", "\u202ex", "a\nb", {"a": {"b": []}}, "http://127.0.0.1:1/x.tar", "x" * 10**5),
]
LENGTHS = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
TOKENS = ("{}()[],=:.*/-+%@#\"' \t\n\0") + "0123456789"


def damaged(content: bytes, rng: random.Random) -> bytes:  # noqa: C901
    """The content after one to four changes of bytes, lengths and parts."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        if not data:
            break
        at = rng.randrange(min(len(data), rng.choice([64, 512, len(data), len(data)])))
        size = rng.randint(1, max(1, len(data) // 4))
        match rng.randrange(8):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 2:
                order = rng.choice("<>")
                data[at : at + 4] = struct.pack(order + "I", rng.choice(LENGTHS))
            case 3:
                del data[rng.choice([at, len(data) - size]) :]
            case 4:
                del data[at : at + size]
            case 5:
                data[at:at] = data[at : at + size] * rng.choice([1, 1, 50])
            case 6:
                data[at : at + size] = bytes(size)
            case 7:
                data[at:at] = rng.randbytes(rng.randint(1, 64))
    return bytes(data)


def mangled(text: str, rng: random.Random) -> str:
    """A text after one to four changes of its words, numbers and signs."""
    words = text.split(" ")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(words))
        match rng.randrange(8):
            case 0:
                words[at] = rng.choice(words)
            case 1:
                words[at] = str(
                    rng.choice([-1, 0, 1, 7, 10**6, 10**9, 10**30, 1e308, "nan", "1/0"])
                )
            case 2:
                words[at] += rng.choice(TOKENS)
            case 3:
                words[at] = words[at][: len(words[at]) // 2]
            case 4:
                words[at] = str(rng.choice(VALUES))[:2000]
            case 5:
                words[at:at] = words[at : at + 30] * rng.choice([1, 20])
            case 6:
                del words[at : at + rng.randint(1, 10)]
                words = words or [""]
            case 7:
                words[at] = rng.choice("([{") * rng.choice([1, 5000])
    return " ".join(words)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The path of every value in a JSON value."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = list(enumerate(value))[:20]
    return [path, *(p for key, one in inner for p in places(one, (*path, key)))]


def put(value: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    value = inside = copy.deepcopy(value)
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    return value
