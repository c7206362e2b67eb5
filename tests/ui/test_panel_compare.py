"""The comparison panel: which candidates it shows, and what it makes of differences."""

from __future__ import annotations

import csv
import io

import pytest
from PySide6.QtGui import QGuiApplication

from tests.fakes.projects import methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.project.commands import EditCandidate
from workbench.project.document import Document
from workbench.ui.bridge import JobsBridge
from workbench.ui.panels.compare import ComparePanel
from workbench.ui.session import Session
from workbench.ui.theme import Theme


@pytest.fixture
def panel(qtbot, session):
    made = ComparePanel(session)
    qtbot.addWidget(made)
    made.resize(700, 500)
    made.show()
    return made


def test_the_latest_two_stand_beside_the_original(panel):
    assert panel.comparison.headings == ("Original", "Third off, W8A8", "Three quarters off")
    titles = [panel.tree.topLevelItem(number).text(0) for number in range(panel.tree.topLevelItemCount())]
    assert titles[0] == "Measured on the exported file"
    assert panel.tree.columnWidth(0) > 150
    head = panel.tree.topLevelItem(0)
    assert head.child(0).text(1).replace("\N{NO-BREAK SPACE}", " ") == "91.73 ±0.54 %"


def test_the_menu_chooses_without_losing_the_clicked_entry(panel):
    entries = {action.text(): action for action in panel.choose.menu().actions()}
    entries["W8A8"].trigger()
    assert panel.comparison.headings[-1] == "W8A8"
    entries["Three quarters off"].trigger()
    assert panel.comparison.headings == ("Original", "Third off, W8A8", "W8A8")
    assert [action.isChecked() for action in panel.choose.menu().actions()].count(True) == 2


def test_only_differences_leaves_out_what_is_equal(panel):
    panel.set_candidates(("c1", "c2"))
    before = _rows(panel)
    panel.only_differences.setChecked(True)
    after = _rows(panel)
    assert "MACs" in before
    assert "MACs" not in after
    assert "Size" in after
    for number in range(panel.tree.topLevelItemCount()):
        assert panel.tree.topLevelItem(number).childCount() > 0


def test_a_selected_candidate_joins_and_a_deleted_one_leaves(session, panel):
    session.selection.set_candidate("c1")
    assert panel.comparison.headings == ("Original", "Three quarters off", "W8A8")
    session.do(EditCandidate("c1", deleted=True))
    assert panel.comparison.headings == ("Original", "Three quarters off")


def test_the_comparison_leaves_as_csv(session, panel, tmp_path):
    panel.copy()
    rows = list(csv.reader(io.StringIO(QGuiApplication.clipboard().text())))
    assert rows[0] == ["section", "what", "Original", "Third off, W8A8", "Three quarters off"]
    assert len({len(row) for row in rows}) == 1


def test_without_candidates_it_says_what_to_do(qtbot, tmp_path):
    bridge = JobsBridge(FakeRunner)
    session = Session(Document(resnet20_state(candidates=False)), bridge, Theme("dark"), tmp_path)
    session.methods = methods()
    panel = ComparePanel(session)
    qtbot.addWidget(panel)
    assert "Run the recipe" in panel._pages.empty.message
    assert panel._pages.empty.button.isEnabled()
    bridge.close()


def _rows(panel: ComparePanel) -> set[str]:
    heads = (panel.tree.topLevelItem(number) for number in range(panel.tree.topLevelItemCount()))
    return {head.child(row).text(0) for head in heads for row in range(head.childCount())}
