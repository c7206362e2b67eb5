"""A worker whose jobs misbehave on purpose; the layer's name of a LayerDetailJob says how."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading

from workbench.domain.errors import DataError
from workbench.jobs.channel import serve


def poll(context):
    """Work until cancelled."""
    context.progress.update(0.5, "polling")
    never = threading.Event()
    while True:
        context.cancel.raise_if_cancelled()
        never.wait(0.01)


def blocking(context):
    """Block in a call that only a cancel listener can end."""
    woken = threading.Event()
    context.cancel.on_cancel(woken.set)
    context.progress.update(0.5, "blocking")
    woken.wait()
    context.cancel.raise_if_cancelled()


def handle(spec, context):
    how = spec.layer
    if how == "poll":
        poll(context)
    elif how == "block":
        blocking(context)
    elif how == "ignore":
        context.progress.update(0.5, "ignoring")
        threading.Event().wait()
    elif how == "with_descendant":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        context.log(f"descendant {child.pid}")
        threading.Event().wait()
    elif how == "die":
        print("about to die", file=sys.stderr, flush=True)
        os._exit(7)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "kill_me":
        context.log(f"pid {os.getpid()}")
        threading.Event().wait()
    elif how == "exit":
        sys.exit(3)
    elif how == "bad_data":
        raise DataError("labels are missing", where="data.yaml")
    elif how == "raise":
        raise ValueError("shapes differ")
    elif how == "not_json":
        return {"value": object()}
    elif how == "junk":
        print("printed by a library")
        os.write(1, b"written by a C library\n")
        subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
    elif how == "reads_stdin":
        return {"read": subprocess.run([sys.executable, "-c", "input()"], capture_output=True).returncode}
    elif how == "garbage":
        os.write(own_stdout, b'\xff\x00 not a message\n{"type": "unheard of"}\n')
    elif how == "many":
        for step in range(20_000):
            context.progress.update(step / 20_000, f"step {step}")
        context.progress.update(0.75, "the last word")
        context.partial("point", {"layer": "a"})
    return {"layer": how, "pid": os.getpid()}


if __name__ == "__main__":
    # The channel gets descriptor 1 for itself; keep a second way to it to write rubbish between its messages.
    own_stdout = os.dup(1)
    serve(handle)
