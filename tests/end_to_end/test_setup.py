"""The README's commands on machines that lack something: a stand-in Python that only notes what it is asked to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash")

if sys.platform == "win32" or BASH is None:
    pytest.skip("packaging/*.sh are for systems with bash", allow_module_level=True)

PYTHON = """\
#!/bin/bash
printf '%s\\n' "$*" >>"$NOTES/calls"
case "$*" in
    *"import ensurepip"*) [ ! -e "$NOTES/no venv" ] ;;
    *"import virtualenv"*) false ;;
    *"import pip"*) [ ! -e "$NOTES/no pip" ] ;;
    *"sys.version_info"*) [ ! -e "$NOTES/old" ] ;;
    "-m venv"*) rm -f "$NOTES/no pip"; mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
    "-m pip install"*) [ ! -e "$NOTES/no network" ] || { echo "ERROR: no matching distribution" >&2; exit 1; } ;;
    "-m workbench"*) echo "the workbench was called with: $*" ;;
esac
"""
REFUSE = "#!/bin/bash\nexit 100\n"


@dataclass
class Machine:
    """A checkout, its name with a space, on a machine with a stand-in Python and a package manager that refuses."""

    root: Path
    notes: Path
    path: str

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        assert BASH is not None
        environment = {**os.environ, "NOTES": str(self.notes), "PATH": self.path}
        environment.pop("WORKBENCH_PYTHON", None)
        return subprocess.run(
            [BASH, str(self.root / "packaging" / "start.sh"), *arguments],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self, start: str) -> list[str]:
        """Return what Python was asked to do so far and forget it."""
        file = self.notes / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [line for line in lines if line.startswith(start)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    root, notes, programs = tmp_path / "my checkout", tmp_path / "notes", tmp_path / "programs"
    (root / "packaging").mkdir(parents=True)
    notes.mkdir()
    programs.mkdir()
    for name in ("setup.sh", "start.sh", "constraints.txt"):
        shutil.copyfile(ROOT / "packaging" / name, root / "packaging" / name)
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    pythons = dict.fromkeys(("python3", "python3.11", "python3.12", "python3.13"), PYTHON)
    stand_ins = {**pythons, "apt-get": REFUSE, "sudo": REFUSE, "ldconfig": "#!/bin/bash\n"}
    for name, text in stand_ins.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    return Machine(root, notes, f"{programs}:/usr/bin:/bin")


def test_first_time_installs_and_the_second_only_starts(machine: Machine) -> None:
    done = machine.start("--headless", "--out", "a folder")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the workbench was called with: -m workbench demo --headless --out a folder\n"
    (call,) = machine.calls("-m pip install")
    assert f"-c {machine.root}/packaging/constraints.txt -e {machine.root}" in call
    again = machine.start()
    assert (again.returncode, again.stderr) == (0, "")
    assert machine.calls("-m venv") == machine.calls("-m pip") == []

    with (machine.root / "pyproject.toml").open("a", encoding="utf-8") as stream:
        stream.write("# a new dependency\n")
    assert machine.start().returncode == 0
    assert len(machine.calls("-m pip install")) == 1


def test_what_the_tests_installed_is_enough_for_the_program(machine: Machine) -> None:
    (machine.root / "packaging" / "start.sh").write_text(
        '. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" "$1"\n', encoding="utf-8"
    )
    assert machine.start("test").returncode == 0
    (call,) = machine.calls("-m pip install")
    assert call.endswith(f"-e {machine.root}[test]")
    assert machine.start("").returncode == 0
    assert machine.calls("-m pip install") == []


def test_without_a_network_it_says_so_and_tries_again_next_time(machine: Machine) -> None:
    (machine.notes / "no network").touch()
    done = machine.start()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "ERROR: no matching distribution",
        "workbench setup: pip could not install the dependencies; its message above names the one. "
        "Check network and disk and run this again.",
    ]
    (machine.notes / "no network").unlink()
    assert machine.start().returncode == 0


def test_without_the_venv_module_it_names_the_package(machine: Machine) -> None:
    (machine.notes / "no venv").touch()
    done = machine.start()
    assert done.returncode == 1
    assert "An administrator can: sudo apt-get install python3-venv" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("Install python3-venv and run this again.")


def test_without_a_suitable_python_it_names_the_versions(machine: Machine) -> None:
    (machine.notes / "old").touch()
    done = machine.start()
    assert done.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13" in done.stderr.splitlines()[-1]


def test_environment_that_was_interrupted_or_moved_is_made_anew(machine: Machine) -> None:
    assert machine.start().returncode == 0
    (machine.notes / "no pip").touch()
    machine.calls("")
    assert machine.start().returncode == 0
    assert len(machine.calls("-m venv")) == 1

    moved = Machine(machine.root.rename(machine.root.with_name("elsewhere")), machine.notes, machine.path)
    assert moved.start().returncode == 0
    (call,) = moved.calls("-m venv")
    assert call.endswith("elsewhere/.venv")


def test_environment_that_somebody_else_made_is_used(machine: Machine) -> None:
    (machine.root / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(machine.path.split(":")[0] + "/python3", machine.root / ".venv" / "bin" / "python")
    (machine.root / ".venv" / "theirs").touch()
    assert machine.start().returncode == 0
    calls = machine.calls("-m ")
    assert [call for call in calls if call.startswith("-m venv")] == []
    assert (machine.root / ".venv" / "theirs").exists()


def test_missing_system_libraries_are_named_and_do_not_stop_the_rest(machine: Machine) -> None:
    ldconfig = Path(machine.path.split(":")[0]) / "ldconfig"
    ldconfig.write_text("#!/bin/bash\necho '  libGL.so.1 (libc6,x86-64) => /lib/libGL.so.1'\n", encoding="utf-8")
    done = machine.start()
    assert done.returncode == 0
    assert "An administrator can: sudo apt-get install libegl1 libxkbcommon0" in done.stderr
    assert "libgl1" not in done.stderr
    assert "going on without them" in done.stderr
