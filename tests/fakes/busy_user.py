"""What somebody does in the window while a job runs: looks around, edits, undoes, changes layout and look."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from workbench.domain.plan import Plan
from workbench.domain.recipe import Step
from workbench.project.commands import ReplaceRecipe
from workbench.ui.main_window import MainWindow

Action = tuple[str, Callable[[], object]]


def actions(window: MainWindow) -> tuple[Action, ...]:
    """Return titles and acts, in the order in which they are done; all can be done again and again."""
    session, panels, trigger = window.session, window.panels, window.actions_.trigger
    report = session.state.inspect
    assert report is not None
    names = [layer.name for layer in report.layers]
    layers, graph, tabs = panels["layers"], panels["graph"], panels["inspector"].tabs
    bits, ratio = session.knob("weight_bits"), session.knob("prune_ratio")
    one = names[len(names) // 2]
    steps = tuple(Step(method=method) for method in ("prune.l1", "train.finetune", "quantize.ptq"))
    quarter = Plan(default={"prune_ratio": 0.25, "weight_bits": 8, "activation_bits": 8})

    def select(*chosen: str) -> Callable[[], object]:
        return partial(session.selection.set_layers, chosen)

    def candidate(place: int) -> None:
        if session.state.candidates:
            session.selection.set_candidate(session.state.candidates[place % len(session.state.candidates)].id)

    def restore() -> None:
        if session.state.candidates:
            session.restore_candidate_plan(session.state.candidates[-1].id)

    return (
        *((f"select {name}", select(name)) for name in names[:8]),
        *((f"colour {number}", partial(graph.set_overlay_number, number)) for number in range(9, 0, -1)),
        ("select all layers in the table", layers.view.selectAll),
        ("clear the selection", select()),
        ("look at a layer's weights", lambda: (select(one)(), tabs.tabs.setCurrentIndex(1))),
        ("look at its channels", partial(tabs.tabs.setCurrentIndex, 2)),
        ("look at its levels", partial(tabs.tabs.setCurrentIndex, 4)),
        ("look at one channel's levels", partial(tabs.levels.channel.setValue, 1)),
        ("colour by bits", partial(graph.set_overlay, "bits")),
        ("set the bits of the ends", partial(trigger, "bits.ends8")),
        ("set all bits", partial(trigger, "bits.w4a8")),
        ("look at its sensitivity", partial(tabs.tabs.setCurrentIndex, 0)),
        ("set one layer's bits", partial(layers.apply_setting, (one,), bits, 4)),
        ("set every layer's ratio", partial(layers.apply_setting, tuple(names), ratio, 0.5)),
        ("undo", partial(trigger, "edit.undo")),
        ("redo", partial(trigger, "edit.redo")),
        ("take another plan and steps", lambda: session.do(ReplaceRecipe(quarter, steps, title="Quarter"))),
        ("restore a candidate's plan", restore),
        ("add a step", partial(panels["recipe"].add_step, "quantize.ptq")),
        ("undo", partial(trigger, "edit.undo")),
        *((f"select candidate {place}", partial(candidate, place)) for place in range(3)),
        ("show the jobs", partial(window.bring, "jobs")),
        ("compare", partial(window.bring, "compare")),
        ("layout Compare", partial(window.show_layout, "Compare")),
        ("layout Analyse", partial(window.show_layout, "Analyse")),
        ("dark look", partial(session.theme.set_mode, "dark")),
        ("light look", partial(session.theme.set_mode, "light")),
    )
