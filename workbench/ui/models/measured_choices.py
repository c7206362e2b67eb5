"""What the device was measured to take at each choice of bits, for the lists that they are chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS, Knob, Setting
from workbench.domain.preflight import KernelForm, LayerOutlook
from workbench.project.state import ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.setting_choices import NONE_REFUSED

NONE_MEASURED: Mapping[Setting, MeasuredChoice] = MappingProxyType({})
_PACKED: Mapping[Setting, KernelForm] = {8: "packed8", 4: "packed4"}
_MOST_INTEGER_BITS = 8


@dataclass(frozen=True)
class MeasuredChoice:
    """A choice: its time over that in float, as text that says so where it is surely slower, and in a sentence."""

    text: str
    sentence: str


def known_outlooks(state: ProjectState) -> Mapping[str, LayerOutlook]:
    """Return what "Will it help here?" measured of each layer on the project's device; nothing of another device."""
    known = state.preflight
    if known is None or known.report.device.name != state.latency.device or known.threads != state.latency.threads:
        return {}
    return {entry.layer: entry for entry in known.report.layers}


def measured_choices(
    outlook: LayerOutlook | None, knob: Knob, activation_bits: Setting | None
) -> Mapping[Setting, MeasuredChoice]:
    """Return what is known of a knob's choices on a layer.

    Args:
        outlook: Of the layer, or None.
        knob: Bits of weights or activations; of any other nothing is known.
        activation_bits: Of the layer: weights beside float activations compute otherwise.
    """
    if outlook is None or knob not in (WEIGHT_BITS, ACTIVATION_BITS):
        return NONE_MEASURED
    found = {}
    for value in knob.choices:
        form = _form(knob, value, activation_bits)
        ratio = None if form is None else outlook.ratio(form)
        if form is None or ratio is None:
            continue
        text = f"{numbers.fixed(ratio, 2)}{numbers.TIMES}"
        how = " with packed weights (quantize.weight_only)" if form in _PACKED.values() else " in integers"
        slower = ", slower" if outlook.surely_slower(form) else ""
        sentence = f"By itself the layer takes {text} its time in float on this device{how}"
        found[value] = MeasuredChoice(f"{text} time{slower}", sentence)
    return found


def refused_by_device(outlook: LayerOutlook | None, knob: Knob) -> Mapping[Setting, str]:
    """Return the choices that a layer can't be given because the device's runtime has no kernel for them."""
    if outlook is None or knob != ACTIVATION_BITS or "uint8" not in outlook.refused:
        return NONE_REFUSED
    reason = f"The runtime of this device has no integer kernel for this {outlook.op}"
    return {value: reason for value in knob.choices if _form(knob, value, value) == "uint8"}


def _form(knob: Knob, value: Setting, activation_bits: Setting | None) -> KernelForm | None:
    if not isinstance(value, int) or value > _MOST_INTEGER_BITS:
        return None
    integers = knob == ACTIVATION_BITS or (isinstance(activation_bits, int) and activation_bits <= _MOST_INTEGER_BITS)
    # However few the bits, fast files hold them in bytes.
    return "uint8" if integers else _PACKED.get(value)
