"""The agent's own command line, which the workbench calls over SSH: FOLDER COMMAND [WORD …]."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.devices.agent.answers import AgentError, Answers
from workbench.devices.agent.description import describe
from workbench.devices.agent.runs import Runs
from workbench.devices.agent.serving import serve
from workbench.devices.agent.store import ModelStore


def main(arguments: Sequence[str]) -> int:
    """Do what is asked for; faults are answers too."""
    folder, command = Path(arguments[0]).expanduser(), arguments[1]
    words = list(arguments[2:])
    if command == "work":
        Runs(folder).work(words[0])
        return 0
    if command == "memory":
        print(json.dumps(Runs(folder).memory(words[0], int(words[1]))))
        return 0
    answers = Answers()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _answer(folder, command, words, answers)
    except AgentError as error:
        answers.say("error", **error.to_json())
    except BrokenPipeError:
        return 1
    except OSError as error:
        answers.say("error", kind="storage", text=str(error), model=0)
    return 0


def _answer(folder: Path, command: str, words: list[str], answers: Answers) -> None:
    store, runs, stdin = ModelStore(folder), Runs(folder), sys.stdin.buffer
    if command == "describe":
        answers.say("device", **describe())
    elif command == "store":
        store.receive(stdin)
        answers.say("stored")
    elif command == "run":
        lacking = runs.start(words[0], json.loads(stdin.readline()))
        if lacking:
            answers.say("lacking", models=lacking)
        else:
            answers.say("started")
            runs.watch(words[0], stdin, answers)
    elif command == "watch":
        runs.watch(words[0], stdin, answers)
    elif command == "stop":
        runs.stop(words[0])
        answers.say("stopped")
    elif command == "serve":
        if store.has(words[0]):
            serve(store.use(words[0]), int(words[1]), stdin, answers)
        else:
            answers.say("lacking", models=[words[0]])
    else:
        raise AgentError("fault", f"there is no command {command!r}")
