"""The project file under crashes, full disks, foreign files, newer programs and second openers."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from workbench.domain.errors import ProjectError, ProjectLockedError, StorageError
from workbench.domain.plan import Plan
from workbench.project import schema, store
from workbench.project.commands import SetDefault, SetRun
from workbench.project.document import Document
from workbench.project.lock import Owner
from workbench.project.state import Change, ProjectState
from workbench.project.store import Store

WRITER = """
import sys
from pathlib import Path
from workbench.project.commands import SetRun
from workbench.project.document import Document
from workbench.project.state import Change
document = Document.open(Path(sys.argv[1]))
number = document.state.seed
print("open", flush=True)
while True:
    number += 1
    document.do(SetRun(seed=number))
    print(number, flush=True)
    document.record(Change.NONE, notes={"number": number}, inspect=None)
"""


def run_writer(path: Path) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert child.stdout.readline().strip() == b"open"
    return child


def test_a_kill_at_any_moment_loses_at_most_the_edit_in_flight(tmp_path):
    path = tmp_path / "p.mcw"
    Document.create(path).close()
    chance = random.Random(0)
    reached = 0
    for _ in range(5):
        with run_writer(path) as child:
            for _ in range(chance.randrange(1, 60)):
                said = child.stdout.readline()
            child.kill()
            rest = child.stdout.read().split()
            said = int(rest[-1]) if rest else int(said)
        with Document.open(path) as document:
            assert document.state.seed in (said, said + 1)
            assert document.state.notes.get("number", 0) in (document.state.seed - 1, document.state.seed)
            reached = document.state.seed
    assert reached > 5
    assert not path.with_name("p.mcw-wal").exists()


def test_a_second_process_is_told_who_has_the_project_open(tmp_path):
    path = tmp_path / "p.mcw"
    Document.create(path).close()
    with run_writer(path) as child:
        try:
            with pytest.raises(ProjectLockedError, match=f"process {child.pid} on "):
                Document.open(path)
            with Document.create(tmp_path / "q.mcw") as mine, pytest.raises(ProjectLockedError):
                mine.save_as(path)
        finally:
            child.kill()
            child.stdout.read()
    with Document.open(path) as document:  # the lock of a dead process is taken over
        assert document.state.seed > 0


def test_a_second_opening_in_this_process_is_refused_and_does_no_harm(tmp_path):
    path = tmp_path / "p.mcw"
    with Document.create(path) as document:
        with pytest.raises(ProjectLockedError, match="in this window already"):
            Document.open(path)
        document.do(SetRun(seed=1))
        probe = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('SELECT * FROM field').fetchall()"
        outcome = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
        assert "database is locked" in outcome.stderr
    Document.open(path).close()


def test_a_lock_file_without_its_process_is_taken_over(tmp_path):
    path = tmp_path / "p.mcw"
    Document.create(path).close()
    here = Owner.this_process()
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    reused = here.model_copy(update={"pid": os.getpid(), "started": here.started - 1000})
    for stale in (here.model_copy(update={"pid": child.pid}).model_dump_json(), reused.model_dump_json(), "", "{"):
        (tmp_path / "p.mcw.lock").write_text(stale)
        Document.open(path).close()
        assert not (tmp_path / "p.mcw.lock").exists()


def test_a_lock_from_another_computer_is_respected(tmp_path):
    path = tmp_path / "p.mcw"
    Document.create(path).close()
    elsewhere = Owner.this_process().model_copy(update={"host": "elsewhere", "pid": 1})
    (tmp_path / "p.mcw.lock").write_text(elsewhere.model_dump_json())
    with pytest.raises(ProjectLockedError, match=r"process 1 on elsewhere.*delete p\.mcw\.lock"):
        Document.open(path)


def test_a_database_lock_without_a_lock_file_is_respected_too(tmp_path):
    path = tmp_path / "p.mcw"
    with Document.create(path):
        (tmp_path / "p.mcw.lock").unlink()
        probe = f"from pathlib import Path; from workbench.project.store import Store; Store(Path({str(path)!r}))"
        outcome = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
        assert "ProjectLockedError" in outcome.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04" + bytes(200), "another kind"),
        (b"SQLite format 3\0" + bytes(30), "another kind"),
        (b"SQLite format 3\0" + bytes(200), "another SQLite database"),
    ],
)
def test_a_file_that_is_no_project_is_refused_untouched(tmp_path, content, said):
    path = tmp_path / "p.mcw"
    path.write_bytes(content)
    with pytest.raises(ProjectError, match=said):
        Document.open(path)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["p.mcw"]


def test_a_missing_project_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.mcw", tmp_path):
        with pytest.raises(ProjectError, match="no such project"):
            Document.open(path)


def filled(path: Path, samples) -> ProjectState:
    with Document.create(path) as document:
        document.record(Change.MODEL, inspect=samples.inspect())
        candidates = tuple(samples.candidate(f"c{number}") for number in range(30))
        document.record(Change.CANDIDATES, candidates=candidates)
        document.record(Change.SENSITIVITY, sensitivities=(samples.sensitivities(*map(str, range(300))),))
        return document.state


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_truncated_project_is_refused_untouched(tmp_path, samples, share):
    path = tmp_path / "p.mcw"
    filled(path, samples)
    content = path.read_bytes()[: int(path.stat().st_size * share)]
    path.write_bytes(content)
    with pytest.raises(ProjectError, match="damaged"):
        Document.open(path)
    assert path.read_bytes() == content


def test_overwritten_pages_are_refused_or_harmless(tmp_path, samples):
    whole = tmp_path / "whole.mcw"
    state = filled(whole, samples)
    chance = random.Random(1)
    refused = 0
    for number in range(20):
        path = tmp_path / f"{number}.mcw"
        content = bytearray(whole.read_bytes())
        place = chance.randrange(100, len(content) - 3000)
        content[place : place + 3000] = chance.randbytes(3000)
        path.write_bytes(content)
        try:
            with Document.open(path) as document:
                assert type(document.state) is type(state)
        except ProjectError:
            refused += 1
    assert refused >= 15


def test_content_that_does_not_fit_is_a_clear_error(tmp_path):
    path = tmp_path / "p.mcw"
    Document.create(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE field SET value = ? WHERE name = 'seed'", (json.dumps("seven"),))
    connection.close()
    with pytest.raises(ProjectError, match=r"damaged.*seed: .*integer"):
        Document.open(path)


def test_a_newer_schema_is_refused_untouched(tmp_path):
    path = tmp_path / "p.mcw"
    Document.create(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ProjectError, match=r"newer version.*Found format 99"):
        Document.open(path)
    assert path.read_bytes() == before


def test_migrations_run_in_order_and_a_failing_one_changes_nothing(tmp_path):
    connection = sqlite3.connect(tmp_path / "p.mcw", isolation_level=None)
    later = (*schema.MIGRATIONS, ("ALTER TABLE field ADD COLUMN note TEXT", "UPDATE field SET note = name"))
    schema.migrate(connection)
    connection.execute("INSERT INTO field VALUES ('seed', '7')")
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, (*later, ("DROP TABLE candidate", "no statement")))
    assert schema.version_of(connection) == len(later)
    assert connection.execute("SELECT * FROM field").fetchall() == [("seed", "7", "seed")]
    connection.execute("SELECT * FROM candidate")
    connection.close()


def test_a_full_disk_keeps_the_edit_in_memory_and_the_next_save_catches_up(tmp_path, samples):
    path = tmp_path / "p.mcw"
    document = Document.create(path)
    connection = document._store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    heard: list[Change] = []
    document.subscribe(heard.append)
    with pytest.raises(StorageError, match="disk is full"):
        document.record(Change.MODEL, inspect=samples.inspect(), notes={"text": "x" * 100_000})
    assert document.state.inspect == samples.inspect()
    assert heard == [Change.MODEL]
    assert isinstance(document.unsaved, StorageError)
    with Store_copy(path) as other:
        assert other.state == ProjectState()
    connection.execute("PRAGMA max_page_count = 100000")
    document.do(SetRun(seed=1))
    assert document.unsaved is None
    document.close()
    with Document.open(path) as again:
        assert again.state == document.state
        assert again.state.notes == {"text": "x" * 100_000}


class Store_copy:  # noqa: N801
    """What another process would find after a crash now: a copy of file and log."""

    def __init__(self, path: Path) -> None:
        self._folder = Path(tempfile.mkdtemp())
        # read by another process: closing the file in this one would drop the document's lock
        script = "import shutil, sys; [shutil.copy(name, sys.argv[1]) for name in sys.argv[2:]]"
        names = [str(file) for file in path.parent.glob(path.name + "*") if not file.name.endswith(".lock")]
        subprocess.run([sys.executable, "-c", script, str(self._folder), *names], check=True)
        self._document = Document.open(self._folder / path.name)

    def __enter__(self) -> Document:
        return self._document

    def __exit__(self, *error: object) -> None:
        self._document.close()
        shutil.rmtree(self._folder)


def test_creating_where_nothing_can_be_written_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError):
        Document.create(tmp_path / "missing" / "p.mcw")


READ_ONLY = """
import os, sys
from pathlib import Path
from workbench.domain.errors import StorageError
from workbench.project.commands import SetRun
from workbench.project.document import Document
if os.geteuid() == 0:
    os.setuid(65534)
document = Document.open(Path(sys.argv[1]))
assert document.read_only and document.state.seed == 3
try:
    document.do(SetRun(seed=4))
except StorageError as error:
    assert "read only" in str(error) and document.state.seed == 4 and document.unsaved is error
    print("refused")
document.save_as(Path(sys.argv[2]))
document.do(SetRun(seed=5))
document.close()
try:
    Document.create(Path(sys.argv[1]).with_name("other.mcw"))
except StorageError as error:
    print("refused too")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permission there")
def test_a_project_in_a_read_only_folder_can_be_read_and_saved_elsewhere():
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "here").mkdir()
        (folder / "free").mkdir()
        path = folder / "here" / "p.mcw"
        with Document.create(path) as document:
            document.do(SetRun(seed=3))
        before = path.read_bytes()
        path.chmod(0o444)
        (folder / "here").chmod(0o555)
        (folder / "free").chmod(0o777)
        folder.chmod(0o755)
        command = [sys.executable, "-c", READ_ONLY, str(path), str(folder / "free" / "q.mcw")]
        outcome = subprocess.run(command, capture_output=True, text=True)
        assert outcome.stdout.split("\n")[:2] == ["refused", "refused too"], outcome.stderr
        assert path.read_bytes() == before
        (folder / "here").chmod(0o755)
        with Document.open(folder / "free" / "q.mcw") as again:
            assert again.state.seed == 5
    finally:
        shutil.rmtree(folder)


def test_one_more_point_or_candidate_costs_one_row(tmp_path, samples):
    path = tmp_path / "p.mcw"
    filled(path, samples)
    opened = Store(path)
    statements: list[str] = []
    opened._connection.set_trace_callback(statements.append)
    series = opened.state.sensitivities[0]
    more = series.model_copy(update={"points": (*series.points, samples.point("new"))})
    opened.write(opened.state.model_copy(update={"sensitivities": (more,)}))
    assert sum("INTO sensitivity_point" in statement for statement in statements) == 1
    statements.clear()
    changed = opened.state.candidates[5].model_copy(update={"star": True})
    candidates = (*opened.state.candidates[:5], changed, *opened.state.candidates[6:], samples.candidate("last"))
    opened.write(opened.state.model_copy(update={"candidates": candidates}))
    assert sum("INTO candidate" in statement for statement in statements) == 2
    final = opened.state
    opened.close()
    again = Store(path)
    assert again.state == final
    again.close()


def test_rows_go_when_their_values_go(tmp_path, samples):
    path = tmp_path / "p.mcw"
    state = filled(path, samples)
    opened = Store(path)
    two = (samples.sensitivities("a", "b"), samples.sensitivities("c", knob="prune_ratio"))
    for sensitivities in (two, two[1:], (samples.sensitivities("b"),), ()):
        for candidates in (state.candidates[::-1], state.candidates[3:5], ()):
            wanted = state.model_copy(update={"sensitivities": sensitivities, "candidates": candidates})
            opened.write(wanted)
            opened.close()
            opened = Store(path)
            assert opened.state == wanted
    opened.close()


def test_state_with_odd_numbers_and_texts_comes_back(tmp_path):
    state = ProjectState(
        plan=Plan(default={"prune_ratio": 1.0, "weight_bits": 8}, layers={"日本 *": {"pattern": "2:4\n\"'"}}),
        notes={"nan": None, "nested": [1, 2.5, {"a": True}]},
    )
    Store.create(tmp_path / "p.mcw", state)
    opened = Store(tmp_path / "p.mcw")
    assert opened.state == state
    assert type(opened.state.plan.default["prune_ratio"]) is float
    assert type(opened.state.plan.default["weight_bits"]) is int
    opened.close()


def test_nothing_is_left_open_or_behind(tmp_path):
    with Document.create(tmp_path / "p.mcw") as document:
        document.do(SetDefault("weight_bits", 4))
    assert [path.name for path in tmp_path.iterdir()] == ["p.mcw"]
    assert not [file for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]


def test_a_failed_creation_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "replace", fail)
    with pytest.raises(StorageError, match="No space left"):
        Document.create(tmp_path / "p.mcw")
    assert list(tmp_path.iterdir()) == []
