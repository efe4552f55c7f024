"""Memory that is free again stays with the command."""

import platform
import subprocess
import sys

import pytest

HELD = """
import sys
from pathlib import Path
from classicnets.cli import keep_memory
def resident():  # bytes
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])
if sys.argv[1] == "kept":
    keep_memory()
before = resident()
large = b"1" * 2**26
del large
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
@pytest.mark.parametrize(("how", "stays"), [("kept", True), ("given back", False)])
def test_what_is_freed_stays_once_it_is_asked_for(how, stays):
    done = subprocess.run(
        [sys.executable, "-c", HELD, how], capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) > 2**25) == stays
