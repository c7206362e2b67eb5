"""What takes something away can be taken back and done again, and what was deleted is found again after reopening."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workbench.domain.plan import Plan
from workbench.project.document import Document
from workbench.project.state import ProjectState

Make = Callable[..., Any]


def _delete_candidate(entry: Any) -> None:
    entry.session.selection.set_candidate(entry.session.state.candidates[0].id)
    entry.window.actions_.trigger("candidate.delete")


def _remove_step(entry: Any) -> None:
    entry.window.panels["recipe"].steps.rows[1].removeRequested.emit()


def _clear_plan(entry: Any) -> None:
    entry.window.actions_.trigger("compress.reset")


def _preset(entry: Any) -> None:
    entry.window.panels["recipe"].presets.menu().actions()[0].trigger()


@pytest.mark.parametrize(
    ("destroy", "title", "gone"),
    [
        (_delete_candidate, "Delete W8A8", lambda state: state.candidates[0].deleted),
        (_remove_step, "Remove train.finetune", lambda state: len(state.steps) == 2),
        (_clear_plan, "Reset plan", lambda state: state.plan == Plan()),
        (_preset, "Preset: Quantize to 8 bits", lambda state: len(state.steps) == 1),
    ],
)
def test_undo_brings_it_back_and_redo_takes_it_again(
    desk: Make,
    destroy: Callable[[Any], None],
    title: str,
    gone: Callable[[ProjectState], bool],
) -> None:
    entry = desk()
    actions, document = entry.window.actions_, entry.session.document
    before = entry.session.state
    destroy(entry)
    after = entry.session.state
    assert gone(after)
    assert document.undo_title == title
    for _ in range(2):
        actions.trigger("edit.undo")
        assert entry.session.state == before
        assert document.undo_title is None
        actions.trigger("edit.redo")
        assert entry.session.state == after
    path = document.path
    entry.window.projects.new()
    with Document.open(path) as stored:
        assert stored.state == after


def test_a_deleted_candidate_is_brought_back_after_reopening(desk: Make) -> None:
    entry = desk()
    path, id = entry.session.document.path, entry.session.state.candidates[0].id
    _delete_candidate(entry)
    entry.window.projects.new()
    entry.window.projects.open(path)
    assert entry.session.document.undo_title is None
    entry.session.selection.set_candidate(id)
    entry.window.actions_.refresh()
    assert entry.window.actions_.action("candidate.delete").text() == "Undelete candidate"
    entry.window.actions_.trigger("candidate.delete")
    assert not entry.session.state.candidate(id).deleted
    assert entry.session.document.undo_title == "Undelete W8A8"
