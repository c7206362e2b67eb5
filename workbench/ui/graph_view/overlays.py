"""What the colour of a box means: every overlay as a pure function from the document to fills, values and a legend."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS, Knob
from workbench.domain.plan import LayerSettings
from workbench.project.state import ProjectState, Sensitivities
from workbench.ui import colors
from workbench.ui.colors import Rgb
from workbench.ui.models import numbers
from workbench.ui.models.device_words import device_words
from workbench.ui.models.layer_fates import FATES, layer_fates, shown_candidates

_LEGEND_STOPS = 24
_NOTHING: Mapping[str, str] = MappingProxyType({})
_SUM = "Collapsed blocks: sum of what is in them"
_FEWEST = "Collapsed blocks: fewest of their layers"
_HIGHEST = "Collapsed blocks: highest of their layers"


@dataclass(frozen=True)
class OverlayChoice:
    """An entry of the overlay selector; `reason` says why it can't be shown yet, None when it can."""

    id: str
    title: str
    reason: str | None = None


@dataclass(frozen=True)
class Fill:
    """How one node or closed block is filled.

    Attributes:
        color: The colour.
        text: The value.
        short: What the box shows of a value that it has no room for.
        uncertain: Whether the value is within noise (drawn hollow).
        title: What tooltips say before the value, e.g. how that of a block came about.
    """

    color: Rgb
    text: str = ""
    uncertain: bool = False
    title: str = ""
    short: str = ""


@dataclass(frozen=True)
class Legend:
    """What the colours mean.

    Attributes:
        swatches: (colour, label) of categories; empty for a scale.
        ramp: Colours of a scale from low to high.
        labels: Text under the scale's low end, middle and high end.
        note: One sentence more, e.g. where the figures come from.
    """

    title: str
    swatches: tuple[tuple[Rgb, str], ...] = ()
    ramp: tuple[Rgb, ...] = ()
    labels: tuple[str, str, str] = ("", "", "")
    note: str = ""


@dataclass(frozen=True)
class Overlay:
    """Fills by node id, and the legend."""

    fills: dict[str, Fill]
    legend: Legend


def choices(state: ProjectState, knobs: Iterable[Knob], current: str = "") -> tuple[OverlayChoice, ...]:
    """Return all overlays in the order of the selector and of the keys 1 to 9; `current` is the id of the one shown."""
    report = state.inspect
    counted = None if report is not None else "Open a model first"
    timed = None if state.baseline_latency is not None else "Measure the latency of the original first"
    entries = [
        OverlayChoice("operator", "Operator"),
        OverlayChoice("params", "Parameters", counted),
        OverlayChoice("macs", "MACs", counted),
        OverlayChoice("latency", "Latency", timed),
    ]
    knobs = tuple(knobs)
    if any(knob.name == WEIGHT_BITS.name for knob in knobs):
        entries.append(OverlayChoice("bits", "Bits (W / A)", counted))
    entries += [OverlayChoice(f"knob:{knob.name}", knob.title, counted) for knob in knobs]
    titles = {knob.name: knob.title for knob in knobs}
    units = {knob.name: knob.unit for knob in knobs}
    for entry in state.sensitivities:
        for value in sorted({point.value for point in entry.points}, key=str):
            setting = numbers.setting_text(value, units.get(entry.knob, ""))
            title = f"Drop: {titles.get(entry.knob, entry.knob)} {setting}"
            entries.append(OverlayChoice(f"drop:{entry.method}:{entry.knob}:{value}", title))
    if not state.sensitivities:
        entries.append(OverlayChoice("drop", "Sensitivity", "Run a sensitivity sweep first"))
    for candidate in shown_candidates(state, current.removeprefix("change:").removeprefix("bits:")):
        entries.append(OverlayChoice(f"change:{candidate.id}", f"Change: {candidate.name}"))
        entries.append(OverlayChoice(f"bits:{candidate.id}", f"Bits: {candidate.name}"))
    return tuple(entries)


def overlay(
    id: str,
    state: ProjectState,
    settings: LayerSettings | None,
    knobs: Iterable[Knob],
    owner: Mapping[str, str] = _NOTHING,
) -> Overlay:
    """Return fills and legend of the overlay called `id`; operators where it can't be shown.

    Args:
        id: Of the overlay.
        state: The document.
        settings: Every layer's settings under the plan, or None.
        knobs: All knobs that are known.
        owner: The closed block for every node that one hides. Costs add up in a block; of settings and drops it shows
            the highest.
    """
    kind, _, rest = id.partition(":")
    knob = next((knob for knob in knobs if knob.name == rest), None)
    if kind == "params":
        return _costs(state, owner, "Parameters", lambda macs, params: params)
    if kind == "macs":
        return _costs(state, owner, "MACs of one sample", lambda macs, params: macs)
    if kind == "latency" and state.baseline_latency is not None:
        return _latency(state, owner)
    if kind == "knob" and settings is not None and knob is not None:
        return _settings(settings, owner, knob)
    if kind == "bits" and (shown := _bits_of(state, settings, rest)) is not None:
        return _bits(*shown, owner)
    if kind == "change":
        return _changes(state, owner, rest)
    if kind == "drop" and rest:
        method, name, value = rest.split(":", 2)
        for entry in state.sensitivities:
            if (entry.method, entry.knob) == (method, name):
                return _drops(entry, owner, value)
    return _operators(state, owner)


def _summed(values: Mapping[str, float], owner: Mapping[str, str]) -> dict[str, float]:
    """Return values by box: those of nodes in a closed block together."""
    sums: dict[str, float] = {}
    for name, value in values.items():
        box = owner.get(name, name)
        sums[box] = sums.get(box, 0.0) + value
    return sums


def _boxes_filled(
    fills: Mapping[str, Fill], owner: Mapping[str, str], rank: Mapping[str, float], word: str = "Highest: "
) -> dict[str, Fill]:
    """Return fills by box: a closed block has that of its highest layer, and says so where they differ."""
    within: dict[str, list[str]] = {}
    for name in fills:
        within.setdefault(owner.get(name, name), []).append(name)
    shown: dict[str, Fill] = {}
    for box, names in within.items():
        top = max(names, key=lambda name: rank[name])
        same = all(fills[name].text == fills[top].text for name in names)
        if len(names) == 1 or same:
            shown[box] = fills[top]
        else:
            shown[box] = replace(fills[top], title=word)
    return shown


def _operators(state: ProjectState, owner: Mapping[str, str]) -> Overlay:
    drawing = state.inspect.drawing if state.inspect is not None else None
    families = [node.family for node in drawing.nodes] if drawing is not None else []
    shown = [family for family in colors.FAMILIES if family in families]
    if any(family not in colors.FAMILIES for family in families) and "other" not in shown:
        shown.append("other")
    swatches = tuple((colors.family_color(family), colors.FAMILIES[family][1]) for family in shown)
    note = "Collapsed blocks: that of most of their layers" if owner else ""
    return Overlay({}, Legend("Operator", swatches=swatches, note=note))


def _costs(state: ProjectState, owner: Mapping[str, str], title: str, pick: Callable[[int, int], int]) -> Overlay:
    if state.inspect is None:
        return Overlay({}, Legend(title))
    values = {cost.name: float(pick(cost.macs, cost.params)) for cost in state.inspect.costs}
    values.update({layer.name: float(pick(layer.macs, layer.params)) for layer in state.inspect.layers})
    uncounted = state.inspect.uncounted_ops
    note = _joined(f"Not counted: {', '.join(uncounted)}" if uncounted else "", _SUM if owner else "")
    sums = _summed({name: value for name, value in values.items() if value > 0}, owner)
    return _logarithmic(title, sums, set(owner.values()), numbers.count_text, note)


def _logarithmic(
    title: str, values: dict[str, float], blocks: set[str], text: Callable[[float], str], note: str
) -> Overlay:
    """Spread values over the colour scale by their logarithm, because costs of layers span orders of magnitude."""
    if not values:
        return Overlay({}, Legend(title, note=note))
    low, high = min(values.values()), max(values.values())
    span = math.log(high / low) or 1.0
    fills = {
        name: Fill(
            colors.heat(math.log(value / low) / span if high > low else 1.0),
            text(value),
            title="Sum: " if name in blocks else "",
        )
        for name, value in values.items()
    }
    labels = (text(low), text(math.sqrt(low * high)), text(high))
    return Overlay(fills, Legend(f"{title}, log scale", ramp=_ramp(colors.heat), labels=labels, note=note))


def _latency(state: ProjectState, owner: Mapping[str, str]) -> Overlay:
    report = state.baseline_latency
    if report is None or not report.models:
        return Overlay({}, Legend("Latency"))
    model = report.models[0]
    shares: dict[str, float] = {}
    for operator in model.operators:
        node = operator.layer or operator.node
        shares[node] = shares.get(node, 0.0) + operator.share
    shares = _summed(shares, owner)
    blocks = set(owner.values())
    top = max(shares.values(), default=0.0) or 1.0
    fills = {
        name: Fill(
            colors.heat(share / top),
            f"{numbers.fixed(share * 100, 1)} %",
            title="Sum: " if name in blocks else "",
        )
        for name, share in shares.items()
    }
    device = report.device
    threads = numbers.plural(device.threads, "thread")
    measured = (
        f"{numbers.latency_text(model.latency_ms)} in all{device_words(device.name)}, {threads}, batch {model.batch}"
    )
    note = _joined(measured, _SUM if owner else "")
    labels = ("0 %", f"{numbers.fixed(top * 50, 1)} %", f"{numbers.fixed(top * 100, 1)} %")
    return Overlay(fills, Legend("Share of latency", ramp=_ramp(colors.heat), labels=labels, note=note))


_FATE_COLORS = dict(zip(FATES, map(colors.parse, ("#8d99a6", "#56b4e9", "#0072b2", "#e69f00", "#d55e00")), strict=True))


def _changes(state: ProjectState, owner: Mapping[str, str], id: str) -> Overlay:
    """Colour what became of each layer in a candidate; nothing where the candidate is gone."""
    candidate = next((entry for entry in state.candidates if entry.id == id), None)
    if candidate is None:
        return Overlay({}, Legend("Change"))
    fates = layer_fates(candidate)
    fills = {name: Fill(_FATE_COLORS[found.fate], found.text, short=found.short) for name, found in fates.items()}
    rank = {name: float(FATES.index(found.fate)) for name, found in fates.items()}
    there = [fate for fate in FATES if any(found.fate == fate for found in fates.values())]
    swatches = tuple((_FATE_COLORS[fate], fate[:1].upper() + fate[1:]) for fate in there)
    note = _HIGHEST if owner else ""
    title = f"Change in {candidate.name}"
    return Overlay(_boxes_filled(fills, owner, rank), Legend(title, swatches=swatches, note=note))


def _bits_of(
    state: ProjectState, settings: LayerSettings | None, id: str
) -> tuple[str, dict[str, tuple[float, float | None]]] | None:
    """Return a title and every layer's bits (weights, activations) in the plan or in a candidate; None where unknown.

    Activations are None where a layer has none to quantize.
    """
    if id:
        candidate = next((entry for entry in state.candidates if entry.id == id), None)
        if candidate is None:
            return None
        there = {change.name: change.after for change in candidate.report.layers if change.after is not None}
        return f"Bits in {candidate.name}", {name: (after.bits, after.activation_bits) for name, after in there.items()}
    if settings is None:
        return None
    found: dict[str, tuple[float, float | None]] = {}
    for layer, line in settings.items():
        if WEIGHT_BITS.name in line:
            activations = line.get(ACTIVATION_BITS.name)
            found[layer] = (float(line[WEIGHT_BITS.name]), None if activations is None else float(activations))
    return "Bits in the plan", found


def _bits(title: str, bits: Mapping[str, tuple[float, float | None]], owner: Mapping[str, str]) -> Overlay:
    """Colour by the bits of weights and write both; the colour alone says what most of the file's size hangs on."""
    fills = {}
    for layer, (weights, activations) in bits.items():
        said = f"W {weights:g}" if activations is None else f"W {weights:g} \N{MIDDLE DOT} A {activations:g}"
        short = f"{weights:g}" if activations is None else f"{weights:g}/{activations:g}"
        fills[layer] = Fill(colors.bits_color(weights), said, short=short, title="Bits: ")
    widths = sorted({weights for weights, _ in bits.values()}, reverse=True)
    swatches = tuple((colors.bits_color(width), _width_text(width)) for width in widths)
    # The fewest bits of a block are what its accuracy hangs on.
    rank = {layer: -weights - (activations or 0) / 100 for layer, (weights, activations) in bits.items()}
    note = _joined("Colour: weights. Boxes: W weights, A input activations", _FEWEST if owner else "")
    return Overlay(_boxes_filled(fills, owner, rank, "Fewest: "), Legend(title, swatches=swatches, note=note))


def _width_text(width: float) -> str:
    return "32, float" if width == WEIGHT_BITS.untouched else f"{width:g}"


def _settings(settings: LayerSettings, owner: Mapping[str, str], knob: Knob) -> Overlay:
    values = {layer: line[knob.name] for layer, line in settings.items() if knob.name in line}
    title = f"{knob.title} in the plan"
    blocks = _HIGHEST if owner else ""
    if knob.unit == "bits":
        bits = {layer: float(value) for layer, value in values.items()}
        fills = {layer: Fill(colors.bits_color(value), f"{value:g} bit") for layer, value in bits.items()}
        swatches = tuple((colors.bits_color(width), f"{width:g}") for width in sorted(set(bits.values()), reverse=True))
        return Overlay(_boxes_filled(fills, owner, bits), Legend(title, swatches=swatches, note=blocks))
    if isinstance(knob.untouched, str) or knob.low is None or knob.high is None:
        distinct = sorted({str(value) for value in values.values()})
        palette = [colors.parse(color) for color, _ in colors.FAMILIES.values()]
        by_value = {value: palette[index % len(palette)] for index, value in enumerate(distinct)}
        fills = {layer: Fill(by_value[str(value)], str(value)) for layer, value in values.items()}
        swatches = tuple((by_value[value], value) for value in distinct)
        note = "Collapsed blocks: coloured where all layers agree" if owner else ""
        return Overlay(_where_same(fills, owner), Legend(title, swatches=swatches, note=note))
    low, high = knob.low, knob.high
    amounts = {layer: float(value) for layer, value in values.items()}
    fills = {
        layer: Fill(colors.heat((amounts[layer] - low) / (high - low)), numbers.setting_text(value, knob.unit))
        for layer, value in values.items()
    }
    low_text, middle_text, high_text = (
        numbers.setting_text(value, knob.unit) for value in (low, (low + high) / 2, high)
    )
    labels = (low_text, middle_text, high_text)
    note = _joined(knob.doc, blocks)
    return Overlay(
        _boxes_filled(fills, owner, amounts), Legend(title, ramp=_ramp(colors.heat), labels=labels, note=note)
    )


def _where_same(fills: Mapping[str, Fill], owner: Mapping[str, str]) -> dict[str, Fill]:
    """Return fills by box; values without an order say nothing of a block whose layers differ."""
    within: dict[str, set[Fill]] = {}
    for name, fill in fills.items():
        within.setdefault(owner.get(name, name), set()).add(fill)
    return {box: next(iter(found)) for box, found in within.items() if len(found) == 1}


def _drops(entry: Sensitivities, owner: Mapping[str, str], value: str) -> Overlay:
    points = [point for point in entry.points if str(point.value) == value]
    top = max((point.likely for point in points), default=0.0)
    scale = top if top > 0 else 1.0
    fills = {
        point.layer: Fill(
            colors.heat(max(point.likely, 0.0) / scale),
            numbers.drop_text(point.likely, None, entry.metric),
            uncertain=point.likely_ci95[0] <= 0.0 <= point.likely_ci95[1],
        )
        for point in points
    }
    counts = sorted({point.samples for point in points}) or [0]
    samples = numbers.exact_text(counts[-1])
    if counts[0] < counts[-1]:
        samples = f"{numbers.exact_text(counts[0])}–{samples}"
    labels = (
        numbers.drop_text(0.0, None, entry.metric),
        numbers.drop_text(scale / 2, None, entry.metric),
        numbers.drop_text(scale, None, entry.metric),
    )
    measured = f"{entry.method}, {samples} samples; hatched: within noise"
    note = _joined(measured, _HIGHEST if owner else "")
    title = f"Change of {numbers.metric_title(entry.metric).lower()}"
    shown = _boxes_filled(fills, owner, {point.layer: point.likely for point in points})
    return Overlay(shown, Legend(title, ramp=_ramp(colors.heat), labels=labels, note=note))


def _joined(*sentences: str) -> str:
    return ". ".join(sentence.rstrip(".") for sentence in sentences if sentence)


def _ramp(scale: Callable[[float], Rgb]) -> tuple[Rgb, ...]:
    return tuple(scale(index / (_LEGEND_STOPS - 1)) for index in range(_LEGEND_STOPS))
