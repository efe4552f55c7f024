"""What a browser sends: names and zip archives that attack, each refused in one sentence."""

import io
import re
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from classicnets.web import archive
from classicnets.web.archive import Names, parts_of, unpack
from classicnets.web.intake import Intake

PNG = b"\x89PNG\r\n\x1a\n and so on"


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, content in members:
            made.writestr(name, content)
    return file.getvalue()


def renamed(content: bytes, before: str, after: str) -> bytes:
    """A name replaced in both places by one of the same length."""
    assert len(before) == len(after)
    return content.replace(before.encode(), after.encode("latin-1"))


def directory(content: bytes, at: int, form: str, value: int) -> bytes:
    """The first entry of the list of files with another value `at` so many bytes in it."""
    start = content.index(b"PK\x01\x02") + at
    return content[:start] + struct.pack(form, value) + content[start + struct.calcsize(form) :]


def linked() -> bytes:
    info = zipfile.ZipInfo("cat/link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped((info, b"/etc/passwd"))


def piped() -> bytes:
    info = zipfile.ZipInfo("cat/pipe.png")
    info.external_attr = (stat.S_IFIFO | 0o644) << 16
    return zipped((info, b""))


def overlapping() -> bytes:
    """Thousands of files that are all the same bytes, as in Fifield's zip bomb."""
    kernel = zipped(("0000", b"\0" * 10**5), method=zipfile.ZIP_DEFLATED)
    start = kernel.index(b"PK\x01\x02")
    entry = kernel[start : kernel.index(b"PK\x05\x06")]
    entries = b"".join(entry.replace(b"0000", f"{k:04}".encode()) for k in range(500))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 500, 500, len(entries), start, 0)
    return kernel[:start] + entries + end


def many_entries() -> bytes:
    """A list of files that would take the memory of all its entries before one is looked at."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", *[0] * 18)
    entries = entry * (archive.DIRECTORY // len(entry) + 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, len(entries), 0, 0)
    return entries + end


GOOD = zipped(("cat/1.png", PNG))
DEFLATED = zipped(("cat/1.png", PNG * 50), method=zipfile.ZIP_DEFLATED)
ATTACKS = {
    "nothing": (zipped(), "the archive has no files"),
    "folders only": (zipped(("cat/", b"")), "the archive has no files"),
    "up": (zipped(("cat/../../1.png", PNG)), "leads out of its folder"),
    "up in a folder's name": (zipped(("../", b""), ("cat/../1.png", PNG)), "leads out of"),
    "absolute": (zipped(("/etc/1.png", PNG)), "is an absolute path"),
    "drive": (zipped(("C:/cat/1.png", PNG)), "is an absolute path"),
    "drive without a slash": (zipped(("c:1.png", PNG)), "is an absolute path"),
    "backslash": (renamed(GOOD, "cat/1.png", "..\\\\1.png"), "has a backslash"),
    "nul": (renamed(GOOD, "cat/1.png", "cat/1\0png"), "has a control character"),
    "newline": (zipped(("cat/\n1.png", PNG)), "has a control character"),
    "escape": (zipped(("cat/\x1b[31m.png", PNG)), "has a control character"),
    "direction": (zipped(("cat/\u202egnp.exe", PNG)), "has a control character"),
    "device": (zipped(("cat/nul.png", PNG)), "is that of a device"),
    "device as a folder": (zipped(("COM1/1.png", PNG)), "is that of a device"),
    "long": (zipped(("a" * 300 + ".png", PNG)), "is too long"),
    "deep": (zipped(("a/" * 40 + "1.png", PNG)), "has more than 16 folders"),
    "link": (linked(), "is a link"),
    "pipe": (piped(), "is not an ordinary file"),
    "twice": (renamed(zipped(("cat/1.png", PNG), ("cat/2.png", PNG)), "2.png", "1.png"), "twice"),
    "case": (zipped(("cat/a.png", PNG), ("Cat/b.png", PNG)), "differ by case or accents only"),
    "accents": (zipped(("\u00e9.png", PNG), ("e\u0301.png", PNG)), "differ by case or accents"),
    "a final dot": (zipped(("cat/a", PNG), ("cat./b", PNG)), "differ by case or accents"),
    "a file and a folder": (zipped(("cat", PNG), ("cat/1.png", PNG)), "is a file and a folder"),
    "ratio": (directory(DEFLATED, 24, "<L", 2**27), "128.00 MiB, more"),
    "total": (directory(GOOD, 24, "<L", 2**32 - 2), "would become 4.00 GiB"),
    "encrypted": (directory(GOOD, 8, "<H", 1), "is encrypted"),
    "other method": (zipped(("1.png", PNG), method=zipfile.ZIP_LZMA), "another method than Def"),
    "checksum": (GOOD.replace(PNG, PNG[::-1]), "cannot be read as a zip file: Bad CRC-32"),
    "claims more": (directory(DEFLATED, 24, "<L", 5000), "claims 5,000"),
    "claims less": (directory(DEFLATED, 24, "<L", 3), "cannot be read as a zip file: Bad CRC-32"),
    "overlap": (overlapping(), "has files that overlap"),
    "beyond the end": (directory(GOOD, 20, "<L", 10**6), "has files that overlap"),
    "elsewhere": (directory(GOOD, 42, "<L", 10**6), "overlap"),
    "entries": (many_entries(), "its list of files takes more than 8.00 MiB"),
    "cut": (GOOD[:-30], "cannot be read as a zip file"),
    "no zip": (b"PK but not so", "cannot be read as a zip file"),
    "empty": (b"", "cannot be read as a zip file"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_archive_that_attacks_is_refused_in_a_sentence_and_leaves_nothing(tmp_path, name):
    content, why = ATTACKS[name]
    intake = Intake(tmp_path / "data")
    intake.take("photos.zip", 0, content)
    with pytest.raises(ValueError, match=re.escape(why)) as refused:
        intake.unpacked()
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert list(tmp_path.rglob("*")) == [tmp_path / "data"]


def test_an_archive_within_an_archive_stays_a_file(tmp_path):
    inner = zipped(("../evil.png", PNG))
    (tmp_path / "a.zip").write_bytes(zipped(("cat/1.png", PNG), ("cat/more.zip", inner)))
    unpack(tmp_path / "a.zip", tmp_path / "out")
    found = {str(p.relative_to(tmp_path / "out")) for p in tmp_path.rglob("out/**/*.*")}
    assert found == {"cat/1.png", "cat/more.zip"}
    assert (tmp_path / "out/cat/more.zip").read_bytes() == inner


def test_names_are_read_as_they_were_meant(tmp_path):
    raw = zipped(("xxxx/1.png", PNG)).replace(b"xxxx", "狐狸".encode("gb2312"))
    mac = zipped(("xxxxxx/1.png", PNG)).replace(b"xxxxxx", "狐狸".encode())
    dos = zipped(("Espa_a/1.png", PNG)).replace(b"Espa_a", "España".encode("cp437"))
    for k, (content, name) in enumerate(((raw, "狐狸"), (mac, "狐狸"), (dos, "España"))):
        (tmp_path / f"{k}.zip").write_bytes(content)
        unpack(tmp_path / f"{k}.zip", tmp_path / str(k))
        assert [p.name for p in (tmp_path / str(k)).iterdir()] == [name]


def test_few_files_of_few_bytes_may_be_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_FILES", 2)
    names = Names()
    names.add("a/1.png")
    names.add("a/2.png")
    with pytest.raises(ValueError, match="more than 2 files"):
        names.add("a/3.png")
    (tmp_path / "a.zip").write_bytes(zipped(*((f"{k}.png", PNG) for k in range(3))))
    with pytest.raises(ValueError, match="more than 2 files"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    monkeypatch.setattr(archive, "MOST_BYTES", 20)
    intake = Intake(tmp_path / "data")
    intake.take("a/1.png", 0, PNG[:10])
    with pytest.raises(ValueError, match="more than 20 B together"):
        intake.take("a/1.png", 10, PNG[10:] * 2)
    assert list((tmp_path / "data").iterdir()) == []


def test_parts_that_say_nothing_are_left_out():
    assert parts_of("./photos//cat/1 (2).png") == ("photos", "cat", "1 (2).png")
    assert parts_of("猫/con artist.png") == ("猫", "con artist.png")


def test_a_folder_becomes_a_set_by_a_single_renaming(tmp_path):
    data = tmp_path / "data"
    intake = Intake(data)
    for k in range(2):
        intake.take(f"my photos/cat/{k}.png", 0, PNG[:5])
        intake.take(f"my photos/cat/{k}.png", 5, PNG[5:])
    folder = intake.unpacked()
    assert [p.name for p in data.iterdir() if not p.name.startswith(".")] == []
    with pytest.raises(ValueError, match="still being read"):
        intake.take("more/dog/1.png", 0, PNG)
    (data / "my-photos").mkdir()
    path = intake.adopt(folder / "my photos", ["digits", "My-photos-2"])
    assert path == data / "my-photos-3"
    assert {p.name for p in data.iterdir()} == {"my-photos", "my-photos-3"}
    assert (path / "cat" / "1.png").read_bytes() == PNG


def test_a_piece_out_of_turn_and_a_hostile_name_end_what_was_sent(tmp_path):
    intake = Intake(tmp_path)
    for name, at in (("a/1.png", 3), ("../1.png", 0), ("a\\1.png", 0)):
        intake.take("a/0.png", 0, PNG)
        with pytest.raises(ValueError, match=r"missing|leads out|backslash"):
            intake.take(name, at, PNG)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no file was sent"):
        intake.unpacked()


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    intake = Intake(tmp_path)
    intake.take("photos.zip", 0, zipped(("cat/1.png", PNG), ("cat/2.png", PNG)))
    opened = Path.open

    def full(path, mode="r", *rest, **more):
        if "2.png" in path.name:
            raise OSError(28, "No space left on device")
        return opened(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="the images cannot be kept: No space left on device"):
        intake.unpacked()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No space left"):
        intake.take("a/2.png", 0, PNG)
    assert list(tmp_path.iterdir()) == []
