"""The report of a project: one page that parses, holds every figure, loads nothing, and lets no text become markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.projects import resnet20_state
from workbench.domain.errors import ProjectError, StorageError
from workbench.project.front_drawing import Drawn, front_svg
from workbench.project.report_page import report_page, write_report
from workbench.project.state import ProjectState


class Page(HTMLParser):
    """Texts by tag, and all attributes that name another file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "line", "circle", "path"):
            self.open.append(tag)
        self.links.extend(str(value) for name, value in attrs if name in ("src", "href"))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "circle", "path"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def test_the_page_holds_every_candidate_and_loads_nothing() -> None:
    state = resnet20_state()
    best = {state.candidates[0].id}
    text = report_page(state, best, title="ResNet & co")
    page = Page(text)
    assert page.open == []
    assert page.links == []
    assert "url(" not in text
    assert "<script" not in text
    assert "ResNet & co" in page.texts["h1"]
    cells = page.texts["td"]
    for candidate in state.candidates:
        assert any(candidate.name in cell for cell in cells) != candidate.deleted
        if not candidate.deleted and candidate.report.latency is not None:
            assert f"{candidate.report.latency.ratio_to_first.median:.4g}" in text
    assert text.count('<g class="best">') == 1
    assert "<h2>Sensitivity: " in text


def test_names_are_text_whatever_they_hold() -> None:
    state = resnet20_state()
    evil = state.candidates[0].model_copy(update={"name": "<script>x</script>", "note": "a<b & c"})
    text = report_page(state.model_copy(update={"candidates": (evil,)}), (), title="<b>")
    assert "<script>" not in text
    assert "a&lt;b &amp; c" in text


def test_what_cannot_be_reported_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="nothing to report"):
        report_page(ProjectState(), (), title="x")
    with pytest.raises(StorageError, match="can't be written"):
        write_report(resnet20_state(), (), tmp_path / "missing" / "r.html", title="x")


@given(
    st.lists(
        st.tuples(st.floats(0.01, 10), st.floats(-50, 100)),
        min_size=1,
        max_size=12,
    )
)
def test_every_point_lies_within_the_drawing_and_the_line_only_rises(points: list[tuple[float, float]]) -> None:
    drawn = [
        Drawn(str(index), cost, score, (cost, cost), (score - 1, score + 1), best=True)
        for index, (cost, score) in enumerate(points)
    ]
    svg = front_svg(drawn, "cost", "score")
    for x, y in re.findall(r'<circle cx="([-\d.]+)" cy="([-\d.]+)"', svg):
        assert 0 <= float(x) <= 760
        assert 0 <= float(y) <= 400
    line = re.search(r'd="M[\d.]+ ([\d.]+)((?:H[\d.]+V[\d.]+)+)"', svg)
    if line is not None:
        heights = [float(line[1]), *map(float, re.findall(r"V([\d.]+)", line[2]))]
        assert heights == sorted(heights, reverse=True)
