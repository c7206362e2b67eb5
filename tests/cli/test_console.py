from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.cli.console import Console, format_seconds, table
from workbench.domain.cancel import Progress
from workbench.domain.errors import StorageError

CHATTY = """
import os
from workbench.cli.console import Console
console = Console(as_json=True, quiet=False)
print("a library chats", flush=True)
os.write(1, b"a native library chats\\n")
os.system("echo a child chats")
console.result({"value": 0.5}, "half")
"""


def test_only_the_result_reaches_standard_output() -> None:
    done = subprocess.run([sys.executable, "-c", CHATTY], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"value": 0.5}
    assert done.stderr.splitlines() == ["a library chats", "a native library chats", "a child chats"]


QUIET = """
import os, sys
from workbench.cli.console import Console
console = Console(as_json=True, quiet=True)
print("a plugin chats", file=sys.stderr, flush=True)
os.write(1, b"a native library chats\\n")
os.write(2, b"a native library warns\\n")
console.result({"value": 0.5}, "half")
console.error("workbench: what is wrong: été")
"""


def test_quiet_silences_libraries_and_plugins_too() -> None:
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, encoding="utf-8", check=True)
    assert json.loads(done.stdout) == {"value": 0.5}
    assert done.stderr == "workbench: what is wrong: été\n"


def test_progress_is_a_line_for_every_tenth(capsys) -> None:
    console = Console(as_json=False, quiet=False, out=io.StringIO())
    for step in range(101):
        console.progress(step / 100, "working")
    assert capsys.readouterr().err.splitlines() == [f"{10 * tenth:3d} %  working" for tenth in range(11)]


def test_parts_that_add_up_to_the_whole_end_at_100(capsys) -> None:
    console = Console(as_json=False, quiet=False, out=io.StringIO())
    rest = Progress(console.progress).part(0.05, 1.0)
    for number in range(3):
        rest.part(number / 3, (number + 1) / 3).update(1.0)
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["30", "60", "100"]


def test_nothing_is_said_before_work_is_done_and_a_new_job_starts_again(capsys) -> None:
    console = Console(as_json=False, quiet=False, out=io.StringIO())
    console.progress(0.0, "opening")
    assert capsys.readouterr().err == ""
    console.progress(1.0, "done")
    console.restart_progress()
    console.progress(0.2, "next")
    assert capsys.readouterr().err == "100 %  done\n 20 %  next\n"


def test_quiet_says_nothing_but_errors(capsys) -> None:
    out = io.StringIO()
    console = Console(as_json=False, quiet=True, out=out)
    console.log("a line")
    console.progress(0.5, "working")
    console.error("a fault")
    console.result({}, "half")
    assert out.getvalue() == "half\n"
    assert capsys.readouterr().err == "a fault\n"


def test_infinity_is_not_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Console(as_json=True, quiet=True, out=io.StringIO()).result({"value": float("inf")}, "")


def test_full_standard_output_is_a_storage_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    full = open("/dev/full", "w")  # noqa: SIM115  (closing it fails as well)
    console = Console(as_json=True, quiet=True, out=full)
    with pytest.raises(StorageError, match="standard output"):
        console.result({"value": 1}, "")
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_durations_and_tables_read_well() -> None:
    durations = {0.42: "0.4 s", 12: "12 s", 60: "1 min", 200: "3 min 20 s", 3600: "1 h", 3900: "1 h 5 min"}
    assert {seconds: format_seconds(seconds) for seconds in durations} == durations
    assert table(["a", "n"], [["long name", "1"], ["b", "10"]], right=[1]).splitlines() == [
        "a           n",
        "─────────  ──",
        "long name   1",
        "b          10",
    ]
