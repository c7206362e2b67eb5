"""Bits in the window: presets as one act, choices that methods can honour, and colours that can be told apart."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QMenu, QStyleOptionViewItem
from pytestqt.qtbot import QtBot

from tests.fakes.drawings import resnet_drawing
from tests.fakes.projects import methods, resnet20_state
from workbench.domain.knobs import ACTIVATION_BITS, FIRST_PARTY_KNOBS, WEIGHT_BITS, Knob
from workbench.domain.measurements import DeviceDescription, Latency, Noise
from workbench.domain.plan import Plan
from workbench.domain.preflight import KernelTime, LayerOutlook, Preflight
from workbench.domain.recipe import Step
from workbench.domain.reports import ParameterSchema
from workbench.project.commands import ReplacePlan, SetSteps
from workbench.project.state import Change, Foretold, ProjectState
from workbench.ui import colors, workflow
from workbench.ui.graph_view import overlays
from workbench.ui.main_window import MainWindow
from workbench.ui.models.bit_presets import PRESETS, apply_preset, end_layers
from workbench.ui.models.layer_table import FIXED_COLUMNS, resolve_layers
from workbench.ui.models.setting_choices import refused_values
from workbench.ui.palette_entries import palette_entries
from workbench.ui.panels.bits_menu import fill_bits_menu
from workbench.ui.session import Session

BY_ID = {preset.id: preset for preset in PRESETS}
INNER = "layer2.0.conv1"
# Severe deficiencies as linear-light matrices (Machado, Oliveira & Fernandes, 2009), and none.
_SEEN = {
    "all": np.eye(3),
    "no red": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                        [-0.003882, -0.048116, 1.051998]]),
    "no green": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                          [-0.011820, 0.042940, 0.968881]]),
    "no blue": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                         [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


def lab(color: colors.Rgb, seen: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of a colour as somebody sees it."""
    shares = np.array(color) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(seen @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", _SEEN.values(), ids=_SEEN.keys())
def test_any_two_widths_are_told_apart_by_everybody(seen: np.ndarray) -> None:
    shown = {bits: lab(colors.bits_color(bits), seen) for bits in colors.BITS_COLORS}
    nearest = min(float(np.linalg.norm(one - other)) for one, other in combinations(shown.values(), 2))
    assert nearest > 12


@pytest.mark.parametrize("bits", colors.BITS_COLORS)
def test_what_a_box_says_is_read_on_its_colour(bits: int) -> None:
    color = colors.bits_color(bits)
    assert colors.contrast(colors.ink_on(color), color) >= 4.5


# --- presets ----------------------------------------------------------------------------------------------------------


def test_all_8_becomes_the_default_and_takes_only_bits_from_the_lines() -> None:
    report = resnet20_state().inspect
    assert report is not None
    before = Plan(
        default={"prune_ratio": 0.5, "weight_bits": 4},
        layers={INNER: {"weight_bits": 2, "prune_ratio": 0.25}, "conv1": {"weight_bits": 8}},
    )
    after = apply_preset(before, report, BY_ID["w8a8"])
    assert after.default == {"prune_ratio": 0.5, "weight_bits": 8, "activation_bits": 8}
    assert after.layers == {INNER: {"prune_ratio": 0.25}}
    settings = workflow.settings_of(after, report)
    assert {(line["weight_bits"], line["activation_bits"]) for line in settings.values()} == {(8, 8)}
    float_again = apply_preset(after, report, BY_ID["float"])
    assert float_again.default == {"prune_ratio": 0.5}


def test_first_and_last_8_leaves_the_others() -> None:
    report = resnet20_state().inspect
    assert report is not None
    assert end_layers(report) == ("conv1", "node_linear")
    before = apply_preset(Plan(), report, BY_ID["w4a8"])
    settings = workflow.settings_of(apply_preset(before, report, BY_ID["ends8"]), report)
    found = {name: line["weight_bits"] for name, line in settings.items()}
    assert [name for name, bits in found.items() if bits == 8] == ["conv1", "node_linear"]
    assert set(found.values()) == {8, 4}


def test_presets_are_one_step_of_the_history_from_shortcut_menu_and_palette(desk: Callable[..., object]) -> None:
    window: MainWindow = desk().window
    session = window.session
    session.do(ReplacePlan(Plan()))
    window.actions_.trigger("bits.w4a8")
    assert session.state.plan.default == {"weight_bits": 4, "activation_bits": 8}
    assert window.actions_.title("edit.undo").endswith("set bits: weights 4 / activations 8")
    window.actions_.trigger("edit.undo")
    assert session.state.plan == Plan()
    keys = {action.shortcut().toString() for id in BY_ID for action in [window.actions_.action(f"bits.{id}")]}
    assert {"Ctrl+Alt+8", "Ctrl+Alt+4", "Ctrl+Alt+E"} <= keys
    assert "Bits: first and last 8" in {entry.title for entry in palette_entries(window)}
    found = window.menuBar().findChildren(QMenu)
    assert any(menu.title() == "Bits of all layers" and len(menu.actions()) == len(PRESETS) for menu in found)
    assert window.actions_.why_not("bits.float") == "That is how it is already"


def test_the_layers_panel_limits_presets_to_the_selection(desk: Callable[..., object]) -> None:
    window: MainWindow = desk().window
    session = window.session
    session.do(ReplacePlan(Plan()))
    session.selection.set_layers((INNER, "conv1"))
    menu = QMenu(window)
    fill_bits_menu(menu, session, window.panels["layers"].selected())
    by_title = {action.text().split("\t")[0]: action for action in menu.actions()}
    assert {"Of 2 selected layers", "Of the model", "All 8", "First and last 8"} <= set(by_title)
    by_title["Weights 4 / activations 4"].trigger()
    assert set(session.state.plan.layers) == {INNER, "conv1"}
    assert not session.state.plan.default
    assert window.actions_.title("edit.undo").endswith("set bits: 4 / 4 on 2 layers")


# --- choices ----------------------------------------------------------------------------------------------------------


def listed() -> tuple[ParameterSchema, ...]:
    """The fake methods, of which one can do any bits, one from 2 on, and one weights alone."""
    found = {method.id: method for method in methods()}
    ptq = found.pop("quantize.ptq")
    none = "The runtime has no half-precision kernels on this device"
    any_bits = ptq.model_copy(update={"refused": {"activation_bits": ((16, none),)}})
    two = ptq.model_copy(
        update={
            "id": "quantize.qat",
            "title": "Training",
            "refused": {"weight_bits": ((1, "Training needs 2 bits or more"),), "activation_bits": ((16, none),)},
        }
    )
    packed = ptq.model_copy(update={"id": "quantize.packed", "title": "Packed", "knobs": ("weight_bits",)})
    return (*found.values(), any_bits, two, packed)


def test_a_value_is_refused_where_every_method_refuses_it_or_a_step_of_the_recipe() -> None:
    report = resnet20_state().inspect
    assert report is not None
    layer = report.layers[0]
    assert set(refused_values(layer, ACTIVATION_BITS, listed())) == {16}
    assert refused_values(layer, WEIGHT_BITS, listed()) == {}
    by_training = refused_values(layer, WEIGHT_BITS, listed(), ("quantize.qat", "quantize.ptq"))
    assert by_training == {1: "Training needs 2 bits or more (step Training)"}
    embedding = layer.model_copy(update={"blocked_by": {"quantize.packed": {"weight_bits": "an embedding is not"}}})
    assert refused_values(embedding, WEIGHT_BITS, listed()) == {}, "another method can"
    alone = refused_values(embedding, WEIGHT_BITS, listed(), ("quantize.packed",))
    assert set(alone) == set(WEIGHT_BITS.choices) - {32}
    assert alone[8] == "An embedding is not (step Packed)"


def test_lists_and_menus_grey_out_what_the_recipe_cannot_do(desk: Callable[..., object], qtbot: QtBot) -> None:
    window: MainWindow = desk().window
    session = window.session
    session.methods = listed()
    session.methodsChanged.emit()
    session.do(SetSteps((Step(method="quantize.qat"),)))
    session.selection.set_layers((INNER,))

    def greyed(combo: QComboBox) -> dict[object, str]:
        model = combo.model()
        flags = {combo.itemData(row): model.index(row, 0) for row in range(combo.count())}
        tip = Qt.ItemDataRole.ToolTipRole
        return {data: i.data(tip) for data, i in flags.items() if not i.flags() & Qt.ItemFlag.ItemIsEnabled}

    editor = window.panels["inspector"].knobs.editors["weight_bits"]
    assert greyed(editor.findChild(QComboBox)) == {1: "Training needs 2 bits or more (step Training)"}

    layers = window.panels["layers"]
    column = len(FIXED_COLUMNS) + [knob.name for knob in layers.model.table.knobs].index("activation_bits")
    index = layers.proxy.mapFromSource(layers.model.index(0, column))
    cell = layers.view.itemDelegateForColumn(column).createEditor(layers.view.viewport(), QStyleOptionViewItem(), index)
    qtbot.addWidget(cell)
    assert list(greyed(cell)) == [16]

    said: list[str] = []
    session.said.connect(said.append)
    before = session.state.plan
    layers.apply_setting((INNER,), WEIGHT_BITS, 1)
    assert session.state.plan == before
    assert said == ["1 layer can't have W bits 1: Training needs 2 bits or more (step Training)"]


def foretold(session: Session, *, device: str = "local") -> Foretold:
    """What the device was measured to take: the inner layer is slower in integers and with packed weights of 4 bits."""

    def outlook(layer: str, **times: float) -> LayerOutlook:
        kernels = (
            KernelTime(form=form, microseconds=time, ci95=(0.99 * time, 1.01 * time)) for form, time in times.items()
        )
        return LayerOutlook(
            layer=layer, op="Conv", size="", weight_bits=32, activation_bits=32, form="float32", kernels=tuple(kernels)
        )

    report = Preflight(
        device=DeviceDescription(name=device, cpu="c", threads=1, runtime="r", provider="p"),
        batch=1,
        original=Latency(median=1.0, p90=1.1, ci95=(0.99, 1.01)),
        predicted=None,
        ratio=None,
        quantizing_share=None,
        layout_share=None,
        layers=(
            outlook(INNER, float32=40.0, uint8=60.0, packed8=20.0, packed4=50.0),
            outlook("conv1", float32=40.0, uint8=10.0),
        ),
        noise=Noise(quiet=True, drift_ratio=0.0),
    )
    threads = session.state.latency.threads
    return Foretold(recipe_sha256="", threads=threads, report=report)


def test_choices_say_what_the_device_was_measured_to_take(desk: Callable[..., object], qtbot: QtBot) -> None:
    window: MainWindow = desk().window
    session, layers = window.session, window.panels["layers"]

    def texts(layer: str, knob: Knob) -> dict[object, str]:
        table = layers.model.table
        row = [entry.name for entry in table.rows].index(layer)
        index = layers.proxy.mapFromSource(layers.model.index(row, len(FIXED_COLUMNS) + table.knobs.index(knob)))
        delegate = layers.view.itemDelegateForColumn(index.column())
        combo = delegate.createEditor(layers.view.viewport(), QStyleOptionViewItem(), index)
        qtbot.addWidget(combo)
        assert combo.view().minimumWidth() > combo.view().sizeHintForColumn(0)
        found = {}
        for place in range(1, combo.count()):
            option = QStyleOptionViewItem()
            combo.itemDelegate().initStyleOption(option, combo.model().index(place, 0))
            assert combo.itemText(place) == str(combo.itemData(place)), "closed, it is as short as ever"
            found[combo.itemData(place)] = option.text
        return found

    session.do(ReplacePlan(Plan()))
    assert set(texts(INNER, WEIGHT_BITS).values()) == {str(bits) for bits in WEIGHT_BITS.choices}
    session.document.record(Change.PREFLIGHT, preflight=foretold(session))
    by_activations = texts(INNER, ACTIVATION_BITS)
    assert by_activations[8] == "8   1.50× time, slower"
    assert by_activations[4] == "4   1.50× time, slower"
    assert by_activations[32] == "32"
    assert texts("conv1", ACTIVATION_BITS)[8] == "8   0.25× time"
    # Beside float activations weights are unpacked while they are multiplied, or not at all.
    alone = texts(INNER, WEIGHT_BITS)
    assert (alone[8], alone[4], alone[2]) == (
        "8   0.50× time", "4   1.25× time, slower", "2",
    )  # fmt: skip
    layers.apply_setting((INNER,), ACTIVATION_BITS, 8)
    assert texts(INNER, WEIGHT_BITS)[2] == "2   1.50× time, slower"

    session.selection.set_layers((INNER,))
    combo = window.panels["inspector"].knobs.editors["activation_bits"].findChild(QComboBox)
    place = combo.findData(8)
    assert "1.50" in combo.itemData(place, Qt.ItemDataRole.ToolTipRole)

    session.document.record(Change.PREFLIGHT, preflight=foretold(session, device="board"))
    assert texts(INNER, ACTIVATION_BITS)[8] == "8", "what another device takes says nothing of this one"


def test_what_the_runtime_of_the_device_has_no_kernel_for_cannot_be_chosen(desk: Callable[..., object]) -> None:
    session: Session = desk().window.session
    known = foretold(session)
    inner, other = known.report.layers
    layers = (inner.model_copy(update={"refused": ("uint8", "packed4")}), other)
    known = known.model_copy(update={"report": known.report.model_copy(update={"layers": layers})})
    table = resolve_layers(session.state.model_copy(update={"preflight": known}), FIRST_PARTY_KNOBS, listed())
    bits = table.cell(INNER, ACTIVATION_BITS), table.cell("conv1", ACTIVATION_BITS), table.cell(INNER, WEIGHT_BITS)
    assert [set(cell.refused) for cell in bits if cell is not None] == [
        set(ACTIVATION_BITS.choices) - {32},
        {16},
        set(),
    ]
    assert bits[0] is not None
    assert bits[0].refused[8] == "The runtime of this device has no integer kernel for this Conv"


def test_a_plan_that_a_step_was_put_under_later_says_so_in_the_cell() -> None:
    state = resnet20_state().model_copy(
        update={"plan": Plan(layers={INNER: {"weight_bits": 1}}), "steps": (Step(method="quantize.qat"),)}
    )
    table = resolve_layers(state, FIRST_PARTY_KNOBS, listed())
    cell = table.cell(INNER, WEIGHT_BITS)
    assert cell is not None
    assert cell.note.startswith("A run will refuse it: Training needs 2 bits or more")


# --- the graph --------------------------------------------------------------------------------------------------------


def drawn() -> ProjectState:
    state = resnet20_state()
    assert state.inspect is not None
    report = state.inspect.model_copy(update={"drawing": resnet_drawing(state.inspect)})
    return state.model_copy(update={"inspect": report})


def test_boxes_say_both_widths_of_the_plan_and_of_a_candidate() -> None:
    state = drawn().model_copy(update={"plan": Plan(default={"weight_bits": 4, "activation_bits": 8})})
    assert state.inspect is not None
    settings = workflow.settings_of(state.plan, state.inspect)
    shown = overlays.overlay("bits", state, settings, FIRST_PARTY_KNOBS)
    fill = shown.fills[INNER]
    assert (fill.color, fill.text, fill.short) == (colors.bits_color(4), "W 4 · A 8", "4/8")
    assert shown.legend.title == "Bits in the plan"
    assert shown.legend.swatches == ((colors.bits_color(4), "4"),)

    candidate = next(
        entry for entry in state.candidates if any(c.after and c.after.bits == 8 for c in entry.report.layers)
    )
    offered = {choice.id: choice.title for choice in overlays.choices(state, FIRST_PARTY_KNOBS, f"bits:{candidate.id}")}
    assert offered[f"bits:{candidate.id}"] == f"Bits: {candidate.name}"
    measured = overlays.overlay(f"bits:{candidate.id}", state, None, FIRST_PARTY_KNOBS)
    assert measured.legend.title == f"Bits in {candidate.name}"
    after = next(change.after for change in candidate.report.layers if change.after is not None)
    change = next(change for change in candidate.report.layers if change.after is after)
    assert measured.fills[change.name].text == f"W {after.bits:g} · A {after.activation_bits:g}"
    assert overlays.overlay("bits:gone", state, None, FIRST_PARTY_KNOBS).legend.title == "Operator"


def test_a_closed_block_shows_its_fewest_bits() -> None:
    state = drawn().model_copy(
        update={"plan": Plan(default={"weight_bits": 8, "activation_bits": 8}, layers={INNER: {"weight_bits": 3}})}
    )
    assert state.inspect is not None
    settings = workflow.settings_of(state.plan, state.inspect)
    owner = {layer.name: "b" for layer in state.inspect.layers if layer.name.startswith("layer2.0")}
    shown = overlays.overlay("bits", state, settings, FIRST_PARTY_KNOBS, owner)
    assert (shown.fills["b"].text, shown.fills["b"].title) == ("W 3 · A 8", "Fewest: ")
    assert "fewest" in shown.legend.note
    assert [label for _, label in shown.legend.swatches] == ["8", "3"]


def test_the_graph_offers_bits_on_a_key(desk: Callable[..., object]) -> None:
    window: MainWindow = desk().window
    graph = window.panels["graph"]
    graph.set_overlay("bits")
    assert graph.overlay == "bits"
    assert graph.canvas.picture.legend.title == "Bits in the plan"
