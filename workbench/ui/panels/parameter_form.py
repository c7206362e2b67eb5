"""A form for any method's parameters, made from their JSON schema: what a plugin declares is what the user gets."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtCore import QLocale, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.ui.models.parameter_form import Field, fields
from workbench.ui.panels.wheel_guard import guard_wheel

_LARGEST_INT = 2**31 - 1
_LEAST_WIDTH = 72


class ParameterForm(QWidget):
    """Editors for a step's parameters; a parameter that has its default is not written into the recipe."""

    edited = Signal(dict)

    def __init__(self, json_schema: dict[str, Any], values: dict[str, Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fields = fields(json_schema)
        self._values = dict(values)
        self._set: dict[str, Callable[[Any], None]] = {}
        self._resets: dict[str, QToolButton] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(8, 4, 8, 8)
        layout.setHorizontalSpacing(12)
        layout.setVerticalSpacing(4)
        for field in self._fields:
            label = QLabel(field.title)
            editor = self._editor(field)
            tooltip = "\n".join(part for part in (field.doc, field.range_text(), f"Default: {_shown(field)}") if part)
            for widget in (label, editor):
                widget.setToolTip(tooltip)
            reset = QToolButton()
            reset.setText("↺")
            reset.setAutoRaise(True)
            reset.setToolTip(f"Back to the default, {_shown(field)}")
            reset.setAccessibleName(f"Reset {field.title}")
            reset.clicked.connect(partial(self._reset, field))
            self._resets[field.key] = reset
            row = QHBoxLayout()
            row.setSpacing(4)
            row.addWidget(editor, 1)
            row.addWidget(reset)
            layout.addRow(label, row)
        if not self._fields:
            note = QLabel("This method has no parameters.")
            note.setProperty("role", "muted")
            layout.addRow(note)
        guard_wheel(self)
        self._show_resets()

    @property
    def values(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        return dict(self._values)

    def _editor(self, field: Field) -> QWidget:
        value = self._values.get(field.key, field.default)
        if field.kind == "bool":
            return self._checkbox(field, bool(value))
        if field.kind == "enum":
            return self._combo(field, value)
        if field.kind in ("int", "float") and not field.optional and value is not None:
            return self._spin(field, value)
        return self._line(field, value)

    def _checkbox(self, field: Field, value: bool) -> QWidget:
        box = QCheckBox()
        box.setChecked(value)
        box.toggled.connect(partial(self._change, field))
        self._set[field.key] = box.setChecked
        return box

    def _combo(self, field: Field, value: Any) -> QWidget:
        combo = QComboBox()
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(6)
        for choice in field.choices:
            combo.addItem("none" if choice is None else str(choice).replace("_", " "), choice)

        def show(chosen: Any) -> None:
            combo.setCurrentIndex(max(combo.findData(chosen), 0))

        show(value)
        combo.currentIndexChanged.connect(lambda index: self._change(field, combo.itemData(index)))
        self._set[field.key] = show
        return combo

    def _spin(self, field: Field, value: Any) -> QWidget:
        spin: QSpinBox | QDoubleSpinBox
        if field.kind == "int":
            spin = QSpinBox()
            low = -_LARGEST_INT if field.low is None else int(field.low) + field.open_low
            high = _LARGEST_INT if field.high is None else int(field.high) - field.open_high
            spin.setRange(low, min(high, _LARGEST_INT))
            spin.setSingleStep(max(int(field.step or 1), 1))
            spin.setValue(int(value))
        else:
            spin = _PlainDouble()
            spin.setDecimals(6)
            spin.setRange(
                -1e9 if field.low is None else field.low + (1e-6 if field.open_low else 0.0),
                1e9 if field.high is None else field.high - (1e-6 if field.open_high else 0.0),
            )
            spin.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
            spin.setValue(float(value))
        # Its own hint has room for ten digits, more than a narrow panel has.
        spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        spin.setMinimumWidth(_LEAST_WIDTH)
        spin.setKeyboardTracking(False)
        spin.valueChanged.connect(partial(self._change, field))
        self._set[field.key] = spin.setValue
        return spin

    def _line(self, field: Field, value: Any) -> QWidget:
        line = QLineEdit(_text_of(field, value))
        line.setPlaceholderText("automatic" if field.optional else "needed" if field.required else "")
        fault = QLabel()
        fault.setProperty("role", "error")
        fault.setWordWrap(True)
        fault.hide()

        def finished() -> None:
            try:
                parsed = _parsed(field, line.text())
            except ValueError:
                fault.setText(f"Not stored: {_expected(field)}")
                fault.show()
                return
            fault.hide()
            self._change(field, parsed)

        def show(new: Any) -> None:
            line.setText(_text_of(field, new))
            fault.hide()

        line.editingFinished.connect(finished)
        self._set[field.key] = show
        both = QWidget()
        column = QVBoxLayout(both)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(line)
        column.addWidget(fault)
        both.setFocusProxy(line)
        return both

    def _change(self, field: Field, value: Any) -> None:
        before = dict(self._values)
        if value == field.default and not field.required:
            self._values.pop(field.key, None)
        else:
            self._values[field.key] = value
        if self._values != before:
            self._show_resets()
            self.edited.emit(dict(self._values))

    def _reset(self, field: Field) -> None:
        self._set[field.key](field.default)
        self._change(field, field.default)

    def _show_resets(self) -> None:
        for field in self._fields:
            self._resets[field.key].setEnabled(field.key in self._values and not field.required)


class _PlainDouble(QDoubleSpinBox):
    """A spin box that writes 0.02, not 0.020000, and takes a point whatever the system's language."""

    def __init__(self) -> None:
        super().__init__()
        self.setLocale(QLocale.c())

    def textFromValue(self, value: float) -> str:
        """See QDoubleSpinBox."""
        return f"{value:.6g}"


def _expected(field: Field) -> str:
    """Return what a line takes, in words."""
    kinds = {"int": "a whole number", "float": "a number", "text": "text"}
    words = [kinds.get(field.kind, "a value in JSON"), field.range_text(), "or empty" if field.optional else ""]
    return ", ".join(word for word in words if word)


def _shown(field: Field) -> str:
    if field.default is None:
        return "none, it must be given" if field.required else "automatic"
    return str(field.default)


def _text_of(field: Field, value: Any) -> str:
    if value is None:
        return ""
    return str(value) if field.kind in ("text", "int", "float") else json.dumps(value)


def _parsed(field: Field, text: str) -> Any:
    """Return what a line says; ValueError if it can't be read."""
    text = text.strip()
    if not text and field.optional:
        return None
    if field.kind == "text":
        return text
    value = int(text) if field.kind == "int" else float(text) if field.kind == "float" else json.loads(text)
    below = field.low is not None and (value <= field.low if field.open_low else value < field.low)
    above = field.high is not None and (value >= field.high if field.open_high else value > field.high)
    if below or above or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(text)
    return value
