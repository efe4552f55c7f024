"""Freed memory stays with the process that runs a command."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
from classicnets.support.machine import keep_memory
def resident():  # bytes
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])
if sys.argv[1] == "keep":
    keep_memory()
before = resident()
large = b"1" * 2**26
del large
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
@pytest.mark.parametrize(("mode", "stays"), [("keep", True), ("return", False)])
def test_freed_memory_stays_after_keep_memory(mode, stays):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) > 2**25) == stays
