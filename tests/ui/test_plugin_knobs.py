"""A knob that only a plugin knows gets its column, sweep and editor as the first-party ones do."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from tests.fakes.projects import methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.domain.knobs import FIRST_PARTY_KNOBS, Knob
from workbench.jobs.specs import SweepJob
from workbench.project.document import Document
from workbench.ui.bridge import JobsBridge
from workbench.ui.models.layer_table import resolve_layers
from workbench.ui.session import Session
from workbench.ui.theme import Theme

CODEBOOK = Knob(
    "codebook_bits",
    "Codebook",
    "bits",
    untouched=32,
    choices=(2, 4, 6, 32),
    sweep=(6, 4, 2),
    doc="Bits of an index into the shared weights.",
)


@pytest.fixture
def session(qtbot, tmp_path):
    state = resnet20_state()
    layers = tuple(layer.model_copy(update={"knobs": (*layer.knobs, CODEBOOK.name)}) for layer in state.inspect.layers)
    inspect = state.inspect.model_copy(update={"layers": layers})
    bridge = JobsBridge(FakeRunner)
    made = Session(Document(state.model_copy(update={"inspect": inspect})), bridge, Theme("light"), tmp_path)
    yield made
    bridge.close()


def test_a_plugins_knob_comes_with_the_methods(qtbot, session):
    sharing = methods()[0].model_copy(update={"id": "encode.share", "stage": "encode", "knobs": (CODEBOOK.name,)})
    listed = {
        "methods": [schema.model_dump(mode="json") for schema in (*methods(), sharing)],
        "knobs": [asdict(knob) for knob in (*reversed(FIRST_PARTY_KNOBS), CODEBOOK)],
        "failures": [],
    }
    job = session.list_methods()
    with qtbot.waitSignal(session.methodsChanged):
        session.jobs._runner.finish(job, json.loads(json.dumps(listed)))

    assert session.knobs == (*FIRST_PARTY_KNOBS, CODEBOOK)
    assert session.knob("codebook_bits") == CODEBOOK
    table = resolve_layers(session.state, session.knobs, session.methods)
    assert "Codebook" in table.columns
    assert session.settings().number("conv1", CODEBOOK) == 32

    spec = session.jobs.spec(session.sweep("encode.share", "codebook_bits"))
    assert isinstance(spec, SweepJob)
    assert spec.values == (6, 4, 2)


def test_a_plugin_may_extend_a_first_party_knob_and_an_old_worker_lists_none(qtbot, session):
    wider = replace(FIRST_PARTY_KNOBS[0], high=0.99)
    for knobs, expected in (([asdict(wider)], (wider, *FIRST_PARTY_KNOBS[1:])), (None, FIRST_PARTY_KNOBS)):
        payload = {"methods": []} if knobs is None else {"methods": [], "knobs": knobs}
        with qtbot.waitSignal(session.methodsChanged):
            session.jobs._runner.finish(session.list_methods(), payload)
        assert session.knobs == expected
