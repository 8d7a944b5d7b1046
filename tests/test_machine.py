"""What this machine is, and freed memory that is used again."""

import platform
import subprocess
import sys

import psutil
import pytest

from cutis import machine

FILL = """
import resource, sys
from cutis import machine
if sys.argv[1] == "reuse":
    machine.reuse_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * 64_000_000  # above the 32 MB at which glibc stops raising its own threshold
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def new_pages(how: str) -> int:
    """Pages that filling 64 MB touches anew the third time."""
    return int(subprocess.run([sys.executable, "-c", FILL, how], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_freed_memory_is_used_again():
    assert new_pages("leave") > 10 * max(1, new_pages("reuse"))


def test_the_command_line_reuses_memory(monkeypatch):
    from cutis import cli

    called = []
    monkeypatch.setattr(machine, "reuse_memory", lambda: called.append(True))
    monkeypatch.setattr(sys, "argv", ["cutis", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    assert called


def test_the_machine_is_described():
    about = machine.describe()
    assert about["memory_gb"] == pytest.approx(psutil.virtual_memory().total / 2**30, abs=0.1)
    assert about["cores"] >= 1
    assert machine.versions()["python"] == platform.python_version()
    assert machine.version("no-such-package-as-this") == "absent"
