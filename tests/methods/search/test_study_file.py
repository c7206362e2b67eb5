"""Whatever is wrong with a STUDY.yaml is one line that names file and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError
from workbench.methods.search.study_file import read_study, with_budgets


def written(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_short_forms_mean_what_they_say(tmp_path: Path) -> None:
    text = "version: 1\nknobs: {keep: [no], prune_ratio: }\nstrategy: random\nbudgets: {metric_drop: 0.01}\n"
    study = read_study(written(tmp_path, text), DataDescription())
    assert study.knobs["keep"].values == ("no",)
    assert study.knobs["prune_ratio"].values == ()
    assert study.strategy.name == "random"
    assert study.objectives == ("metric", "latency")
    assert study.stop.minutes == 15


def test_budgets_are_read_as_they_are_said(tmp_path: Path) -> None:
    def budgets(text: str) -> dict[str, float]:
        return read_study(written(tmp_path, f"version: 1\nbudgets: {text}\n"), DataDescription()).budgets.limits()

    wanted = pytest.approx({"metric_drop": 0.01, "latency_ms": 5.0, "size_bytes": 3e5})
    assert budgets('["<= 1 % drop", "≤ 5 ms", "≤ 300 KB"]') == wanted
    assert budgets("{metric_drop: 0.01, latency_ms: 5 ms, size_bytes: 300 KB}") == wanted
    study = read_study(written(tmp_path, "version: 1\nbudgets: {latency_ms: 5, size_ratio: 0.5}\n"), DataDescription())
    more = with_budgets(study, ["<= 4 ms", "<= 1 % drop"], "--budget")
    assert more.budgets.limits() == pytest.approx({"metric_drop": 0.01, "latency_ms": 4.0, "size_ratio": 0.5})
    with pytest.raises(BadInputError, match=r"--budget: the budget is not understood.*≤ 300 KB.*fast"):
        with_budgets(study, ["fast"], "--budget")


def test_what_is_looked_for_may_change_but_not_what_candidates_are_made_of(tmp_path: Path) -> None:
    def identity(text: str) -> str:
        return read_study(written(tmp_path, "version: 1\n" + text), DataDescription()).identity()

    same = identity("")
    assert identity("budgets: {size_ratio: 0.5}\nstop: {candidates: 3}\nstrategy: tpe\n") == same
    assert identity("seed: 1\n") != same
    assert identity("threads: 2\n") != same


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 2\n", r"study\.yaml: version: the value does not fit"),
        ("seed: 1\n", r"version: the key is missing"),
        ("version: 1\nobjectives: [latency]\n", "objectives.*metric and one or more of latency"),
        ("version: 1\nobjectives: [metric, speed]\n", r"objectives\.1.*'speed'"),
        ("version: 1\nobjectives: [metric, size, size]\n", "nothing stands twice"),
        (
            "version: 1\nbudgets: [<= 5 apples]\n",
            r"study\.yaml: budgets: the budget is not understood.*a unit.*5 apples",
        ),
        ("version: 1\nbudgets: {latency_ms: 5 MB}\n", r"budgets: the budget is not understood.*latency_ms: 5 MB"),
        ("version: 1\nbudgets: 5\n", r"budgets: the value does not fit"),
        ("version: 1\nbudgets: {latency: 5}\n", r"budgets\.latency: there is no such key"),
        ("version: 1\nbudgets: {latency_ms: -1}\n", r"budgets\.latency_ms.*greater than 0"),
        ("version: 1\nbudgets: {metric_drop: .nan}\n", r"budgets\.metric_drop.*finite"),
        ("version: 1\nstop: {hours: 3}\n", r"stop\.hours: there is no such key"),
        ("version: 1\nstop: {}\n", "at least one of minutes, candidates, stagnation"),
        ("version: 1\nreference: {macs: 1}\n", "macs is none of metric, latency"),
        ("version: 1\nsteps: prune.l1\n", r"steps.*a list"),
        ("version: 1\ndata: nowhere.yaml\n", "there is no data description"),
        ("- 1\n", "not a mapping"),
    ],
)
def test_faults_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    given = None if "data:" in text else DataDescription()
    with pytest.raises(BadInputError) as caught:
        read_study(written(tmp_path, text), given)
    assert "\n" not in str(caught.value)
    assert re.search(said, str(caught.value)), str(caught.value)


def test_data_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="the study names no data"):
        read_study(written(tmp_path, "version: 1\n"))
