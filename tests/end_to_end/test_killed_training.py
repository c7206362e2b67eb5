"""A training that is killed loses the epoch in flight and nothing else."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """\
version: 1
data: data.yaml
plan:
  default: {prune_ratio: 0.25}
steps:
- {method: prune.l1}
- {method: train.finetune, parameters: {epochs: 6, batch_size: 16, threads: 1}}
evaluate: {samples: 50}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_training_goes_on_where_it_was(desk: Path, workbench, environment) -> None:
    (desk / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    arguments = ("compress", "model.onnx", "--recipe", "recipe.yaml", "--no-latency", "--cache", "steps")
    command = [sys.executable, "-m", "workbench", *arguments, "--out", "killed.onnx"]
    process = subprocess.Popen(command, cwd=desk, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            # The line comes before the epoch is stored: with the third one, two are.
            if "epoch 3/6: " in line:
                process.kill()
                break
    assert process.returncode == -9
    assert not (desk / "killed.onnx").exists()
    assert list((desk / "steps").glob("*.epochs"))

    done = workbench(desk, *arguments, "--out", "resumed.onnx", "--json").json
    notes = [note for step in done["steps"] for note in step["notes"]]
    assert any(note.startswith(("went on after epoch 2", "went on after epoch 3")) for note in notes)
    assert not list((desk / "steps").glob("*.epochs*"))

    whole = tuple("fresh" if argument == "steps" else argument for argument in arguments)
    workbench(desk, *whole, "--out", "whole.onnx", "--quiet")
    digests = {hashlib.sha256((desk / name).read_bytes()).hexdigest() for name in ("resumed.onnx", "whole.onnx")}
    assert len(digests) == 1
