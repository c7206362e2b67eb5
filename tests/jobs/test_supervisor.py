"""The supervisor with real workers that finish, hang, crash and talk rubbish."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from workbench.domain.errors import DataError, JobError, WorkerCrashError
from workbench.jobs.messages import Cancelled, Failed, LogMessage, Partial, ProgressMessage, Result, Started
from workbench.jobs.specs import LayerDetailJob
from workbench.jobs.supervisor import Supervisor

WORKER = (sys.executable, str(Path(__file__).with_name("misbehaving_worker.py")))
SOON = 30.0


def job(how: str) -> LayerDetailJob:
    return LayerDetailJob(model="m.onnx", layer=how)


class Heard:
    """Collects messages and wakes who waits for one."""

    def __init__(self) -> None:
        self.messages = []
        self.changed = threading.Condition()

    def __call__(self, message) -> None:
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def of(self, job_id, kind=object):
        with self.changed:
            return [message for message in self.messages if message.job == job_id and isinstance(message, kind)]

    def wait_for(self, job_id, kind, predicate=lambda message: True):
        def found():
            return next((m for m in self.messages if m.job == job_id and isinstance(m, kind) and predicate(m)), None)

        with self.changed:
            assert self.changed.wait_for(lambda: found() is not None, SOON)
            return found()


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def supervisor(heard):
    before = set(psutil.Process().children(recursive=True))
    with Supervisor(WORKER, heard, grace_s=20.0) as made:
        yield made
    assert set(psutil.Process().children(recursive=True)) <= before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("supervisor", "worker-"))]


def run(supervisor, how, **options):
    return supervisor.wait(supervisor.submit(job(how), title=how, **options), SOON)


def test_a_job_goes_from_queued_to_done(supervisor, heard):
    record = run(supervisor, "fine")
    assert (record.state, record.fraction, record.lane, record.title) == ("done", 1.0, "batch", "fine")
    assert record.submitted <= record.started <= record.ended
    messages = heard.of(record.id)
    assert isinstance(messages[0], Started)
    assert isinstance(messages[-1], Result)
    assert messages[-1].payload["layer"] == "fine"
    assert supervisor.jobs == (record,)


def test_one_worker_serves_a_lane_and_lanes_have_their_own(supervisor, heard):
    first, second = run(supervisor, "fine"), run(supervisor, "fine")
    other = run(supervisor, "fine", lane="interactive")
    pids = [heard.of(record.id, Result)[0].payload["pid"] for record in (first, second, other)]
    assert pids[0] == pids[1] != pids[2]


def test_an_interactive_job_does_not_wait_for_a_batch_job(supervisor, heard):
    long = supervisor.submit(job("poll"), title="long")
    heard.wait_for(long, ProgressMessage)
    assert run(supervisor, "fine", lane="interactive").state == "done"
    assert supervisor.record(long).state == "running"
    supervisor.cancel(long)
    assert supervisor.wait(long, SOON).state == "cancelled"


@pytest.mark.parametrize("how", ["poll", "block"])
def test_cancel_reaches_a_running_job_and_its_worker_lives_on(supervisor, heard, how):
    first = run(supervisor, "fine")
    running = supervisor.submit(job(how), title=how)
    heard.wait_for(running, ProgressMessage)
    supervisor.cancel(running)
    assert supervisor.wait(running, SOON).state == "cancelled"
    assert isinstance(heard.of(running)[-1], Cancelled)
    after = run(supervisor, "fine")
    assert heard.of(after.id, Result)[0].payload["pid"] == heard.of(first.id, Result)[0].payload["pid"]


def test_a_job_that_ignores_cancel_is_killed_after_the_grace_period(heard):
    with Supervisor(WORKER, heard, grace_s=0.2) as supervisor:
        first = run(supervisor, "fine")
        stuck = supervisor.submit(job("ignore"), title="stuck")
        waiting = supervisor.submit(job("fine"), title="waiting")
        heard.wait_for(stuck, ProgressMessage)
        supervisor.cancel(stuck)
        assert supervisor.wait(stuck, SOON).state == "cancelled"
        assert supervisor.wait(waiting, SOON).state == "done"
        pids = [heard.of(id, Result)[0].payload["pid"] for id in (first.id, waiting)]
        assert pids[0] != pids[1]


def test_the_kill_takes_the_workers_own_children_along(heard):
    with Supervisor(WORKER, heard, grace_s=0.1) as supervisor:
        stuck = supervisor.submit(job("with_descendant"), title="stuck")
        log = heard.wait_for(stuck, LogMessage, lambda message: message.text.startswith("descendant"))
        descendant = psutil.Process(int(log.text.split()[1]))
        supervisor.cancel(stuck)
        assert supervisor.wait(stuck, SOON).state == "cancelled"
        psutil.wait_procs([descendant], timeout=SOON)
        assert not descendant.is_running() or descendant.status() == psutil.STATUS_ZOMBIE


def test_cancelling_before_the_worker_has_started_counts(supervisor, heard):
    early = supervisor.submit(job("poll"), title="early")
    supervisor.cancel(early)
    assert supervisor.wait(early, SOON).state == "cancelled"


def test_a_queued_job_is_cancelled_at_once(supervisor, heard):
    running = supervisor.submit(job("poll"), title="running")
    heard.wait_for(running, Started)
    queued = supervisor.submit(job("fine"), title="queued")
    supervisor.cancel(queued)
    assert supervisor.record(queued).state == "cancelled"
    assert [type(message) for message in heard.of(queued)] == [Cancelled]
    supervisor.cancel(running)
    assert supervisor.wait(running, SOON).state == "cancelled"
    supervisor.cancel(running)  # again changes nothing
    assert len(heard.of(running, Cancelled)) == 1


def test_a_worker_that_exits_is_named_with_its_last_output_and_replaced(supervisor, heard):
    dead = supervisor.submit(job("die"), title="dead")
    after = supervisor.submit(job("fine"), title="after")
    record = supervisor.wait(dead, SOON)
    assert record.state == "failed"
    assert isinstance(record.error, WorkerCrashError)
    assert "exit status 7" in str(record.error)
    assert "about to die" in str(record.error)
    assert "about to die" in record.log
    assert "about to die" in heard.of(dead, Failed)[0].traceback
    assert supervisor.wait(after, SOON).state == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are a POSIX idea")
def test_a_segfault_fails_only_its_job(supervisor):
    record = run(supervisor, "segfault")
    assert record.state == "failed"
    assert "SIGSEGV" in str(record.error)
    assert run(supervisor, "fine").state == "done"


def test_a_killed_worker_fails_only_its_job(supervisor, heard):
    victim = supervisor.submit(job("kill_me"), title="victim")
    log = heard.wait_for(victim, LogMessage, lambda message: message.text.startswith("pid"))
    psutil.Process(int(log.text.split()[1])).kill()
    record = supervisor.wait(victim, SOON)
    assert record.state == "failed"
    assert isinstance(record.error, WorkerCrashError)
    assert run(supervisor, "fine").state == "done"


def test_a_worker_killed_between_jobs_is_replaced(supervisor, heard):
    first = run(supervisor, "fine")
    worker = psutil.Process(heard.of(first.id, Result)[0].payload["pid"])
    worker.kill()
    psutil.wait_procs([worker], timeout=SOON)
    assert run(supervisor, "fine").state == "done"


def test_errors_cross_the_border_with_their_class_and_place(supervisor, heard):
    record = run(supervisor, "bad_data")
    assert record.state == "failed"
    assert isinstance(record.error, DataError)
    assert (record.error.where, record.error.message) == ("data.yaml", "labels are missing")


def test_any_other_exception_is_a_job_error_with_its_traceback_in_the_log(supervisor, heard):
    record = run(supervisor, "raise")
    assert type(record.error) is JobError
    assert "ValueError: shapes differ" in str(record.error)
    assert any("misbehaving_worker.py" in line for line in record.log)
    assert run(supervisor, "exit").state == "failed"
    unsendable = run(supervisor, "not_json")
    assert "can't be written as JSON" in str(unsendable.error)
    assert run(supervisor, "fine").state == "done"


def test_what_libraries_print_is_log_not_protocol(supervisor, heard):
    record = run(supervisor, "junk")
    assert record.state == "done"
    assert {"printed by a library", "written by a C library", "by a child"} <= set(record.log)
    assert [message.text for message in heard.of(record.id, LogMessage)] == list(record.log)


def test_children_of_the_worker_find_its_input_empty(supervisor, heard):
    record = run(supervisor, "reads_stdin")
    assert heard.of(record.id, Result)[0].payload == {"read": 1}
    assert run(supervisor, "fine").state == "done"


def test_garbage_on_the_line_is_logged_and_skipped(supervisor, heard):
    record = run(supervisor, "garbage")
    assert record.state == "done"
    assert sum("unexpected output" in line for line in record.log) == 2


def test_progress_is_thinned_but_its_last_word_arrives_in_order(supervisor, heard):
    record = run(supervisor, "many")
    updates = heard.of(record.id, ProgressMessage)
    seconds = (record.ended - record.started).total_seconds()
    assert len(updates) <= 20 * seconds + 3
    assert (updates[-1].fraction, updates[-1].text) == (0.75, "the last word")
    assert heard.of(record.id, Partial)[0].payload == {"layer": "a"}
    assert isinstance(heard.of(record.id)[-1], Result)


def test_a_worker_that_cannot_be_started_is_a_failed_job(heard):
    with Supervisor(("no-such-program-here",), heard) as supervisor:
        record = run(supervisor, "fine")
        assert record.state == "failed"
        assert "no-such-program-here" in str(record.error)


def test_closing_cancels_everything_and_refuses_more(heard):
    before = set(psutil.Process().children())
    supervisor = Supervisor(WORKER, heard, grace_s=0.5)
    running = supervisor.submit(job("ignore"), title="running")
    queued = supervisor.submit(job("fine"), title="queued")
    heard.wait_for(running, ProgressMessage)
    worker = set(psutil.Process().children()) - before
    assert worker
    supervisor.close()
    assert [record.state for record in supervisor.jobs] == ["cancelled", "cancelled"]
    assert not any(process.is_running() for process in worker)
    assert heard.of(queued) == []
    with pytest.raises(JobError):
        supervisor.submit(job("fine"), title="late")
    supervisor.close()


def test_standard_error_is_kept_in_the_log_folder(tmp_path, heard):
    with Supervisor(WORKER, heard, log_folder=tmp_path / "logs") as supervisor:
        run(supervisor, "die")
    assert (tmp_path / "logs" / "worker-batch.log").read_text() == "about to die\n"


def test_the_worker_does_not_outlive_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, threading\n"
        "from workbench.jobs.specs import LayerDetailJob\n"
        "from workbench.jobs.messages import Started\n"
        "from workbench.jobs.supervisor import Supervisor\n"
        "heard = lambda m: isinstance(m, Started) and print('up', flush=True)\n"
        f"supervisor = Supervisor({WORKER!r}, heard)\n"
        "supervisor.submit(LayerDetailJob(model='m', layer='poll'), title='long')\n"
        "threading.Event().wait()\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline().strip() == b"up"
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert workers
        parent.kill()
    gone, alive = psutil.wait_procs(workers, timeout=SOON)
    assert len(gone) == len(workers)
    assert not alive
