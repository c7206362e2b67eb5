"""Memory in the inspector: of the original, and of the selected candidate; nothing where it is not known."""

from __future__ import annotations

from tests.fakes.projects import resnet20_state
from workbench.domain.measurements import ModelLatency
from workbench.ui.models.candidate_changes import candidate_facts
from workbench.ui.models.memory_facts import memory_facts


def measured(**sizes: int) -> ModelLatency:
    latency = resnet20_state().baseline_latency
    assert latency is not None
    return latency.models[0].model_copy(update=sizes)


def test_each_figure_stands_for_itself() -> None:
    found = measured(peak_memory_bytes=15_800_000, inference_memory_bytes=860_160, arena_bytes=1_048_576)
    facts = memory_facts(found)
    assert [(fact.title, fact.value) for fact in facts] == [
        ("Peak memory", "15.8\N{NO-BREAK SPACE}MB"),
        ("Per inference", "860\N{NO-BREAK SPACE}kB"),
        ("Arena", "1.05\N{NO-BREAK SPACE}MB"),
    ]
    assert memory_facts(measured(peak_memory_bytes=1_000)) == memory_facts(measured(peak_memory_bytes=1_000))[:1]


def test_a_candidate_shows_its_own() -> None:
    candidate = resnet20_state().candidate("c1")
    assert not [fact for fact in candidate_facts(candidate) if fact.title == "Arena"]
    latency = candidate.report.latency
    assert latency is not None
    report = candidate.report.model_copy(update={"latency": latency.model_copy(update={"arena_bytes": 1_048_576})})
    shown = candidate_facts(candidate.model_copy(update={"report": report}))
    assert [fact.value for fact in shown if fact.title == "Arena"] == ["1.05\N{NO-BREAK SPACE}MB"]
