"""One editor for any knob: a slider with a spin box for ranges, a list for choices, a line for text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLineEdit, QSlider, QToolTip, QWidget

from workbench.domain.knobs import Knob, Setting
from workbench.ui.models import numbers
from workbench.ui.models.channel_counts import ChannelCounts
from workbench.ui.models.layer_delegates import grey_out, name_times, setting_spin_box, spin_factor, spin_value
from workbench.ui.models.measured_choices import MeasuredChoice

_STEPS = 1000
_SLIDER = 64
_SPIN = 84


class KnobEditor(QWidget):
    """Shows and changes one setting.

    Signals:
        chosen: The user chose a setting; sent once per gesture, when a slider is let go.

    Attributes:
        foretell: Says what a setting would come to, while the slider is moved; "" says nothing.
    """

    chosen = Signal(object)

    def __init__(self, knob: Knob, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._knob = knob
        self.foretell: Callable[[Setting], str] = lambda _: ""
        self._quiet = False
        self._counts: ChannelCounts | None = None
        self._combo: QComboBox | None = None
        self._slider: QSlider | None = None
        self._spin: QDoubleSpinBox | None = None
        self._line: QLineEdit | None = None
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        if knob.choices:
            self._build_combo(layout)
        elif isinstance(knob.untouched, str):
            self._line = QLineEdit()
            self._line.editingFinished.connect(self._line_done)
            layout.addWidget(self._line)
        else:
            self._build_range(layout)
        self.setToolTip(knob.doc)

    @property
    def knob(self) -> Knob:
        """What it edits."""
        return self._knob

    def value(self) -> Setting | None:
        """Return the setting shown; None while several layers differ and nothing was chosen."""
        if self._combo is not None:
            data = self._combo.currentData()
            return None if data is None else self._knob.check(data, self._knob.name)
        if self._spin is not None:
            return spin_value(self._spin, self._knob)
        return self._line.text() if self._line is not None else None

    def set_value(self, value: Setting | None) -> None:
        """Show a setting without sending `chosen`; None for "several values"."""
        self._quiet = True
        try:
            if self._combo is not None:
                self._combo.setCurrentIndex(self._combo.findData(value) if value is not None else -1)
            elif self._line is not None:
                self._line.setText("" if value is None else str(value))
            elif self._spin is not None:
                shown = self._knob.untouched if value is None else value
                self._spin.setValue(float(shown) * spin_factor(self._knob))
                self._move_slider(float(shown))
        finally:
            self._quiet = False

    def set_refused(self, refused: Mapping[Setting, str], measured: Mapping[Setting, MeasuredChoice]) -> None:
        """Grey out the choices that can't be done here, with the reason as tooltip; what is measured is one, too."""
        if self._combo is not None:
            grey_out(self._combo, refused, measured)

    def set_counts(self, counts: ChannelCounts | None) -> None:
        """Say beside a share how many channels it leaves, and let the slider stop where the recipe rounds to."""
        self._counts = counts

    @property
    def slider_width(self) -> int:
        """Pixels that the slider needs beside the rest."""
        return _SLIDER + 8 if self._slider is not None else 0

    def width_without_slider(self) -> int:
        """Return the least width, in pixels, of what must always show."""
        shown = self._combo or self._spin or self._line
        return 0 if shown is None else shown.minimumSizeHint().width() if shown is not self._spin else _SPIN

    def show_slider(self, on: bool) -> None:
        """Show the slider or leave its room to others; the number beside it stays."""
        if self._slider is not None:
            self._slider.setVisible(on)

    def _tell(self, value: float) -> None:
        if self._slider is not None and self._slider.isSliderDown():
            counted = "" if self._counts is None else self._counts.text(value)
            lines = [line for line in (counted, self.foretell(value)) if line]
            place = QPoint(self._slider.width() // 2, self._slider.height())
            QToolTip.showText(self._slider.mapToGlobal(place), "\n".join(lines), self._slider)

    def _build_combo(self, layout: QHBoxLayout) -> None:
        self._combo = QComboBox()
        self._combo.setPlaceholderText("Several values")
        for choice in self._knob.choices:
            self._combo.addItem(numbers.setting_text(choice, self._knob.unit), choice)
        name_times(self._combo)
        self._combo.setCurrentIndex(-1)
        self._combo.activated.connect(lambda _: self._send())
        layout.addWidget(self._combo)
        layout.addStretch()

    def _build_range(self, layout: QHBoxLayout) -> None:
        self._spin = setting_spin_box(self._knob)
        self._spin.setMinimumWidth(_SPIN)
        self._spin.valueChanged.connect(self._spin_changed)
        if self._knob.low is not None and self._knob.high is not None:
            self._slider = QSlider(Qt.Orientation.Horizontal)
            self._slider.setRange(0, _STEPS)
            self._slider.setPageStep(_STEPS // 10)
            self._slider.setMinimumWidth(_SLIDER)
            self._slider.valueChanged.connect(self._slider_moved)
            self._slider.sliderReleased.connect(self._send)
            layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)

    def _slider_moved(self, place: int) -> None:
        if self._quiet or self._slider is None or self._spin is None:
            return
        low, high = float(self._knob.low or 0.0), float(self._knob.high or 1.0)
        value = low + (high - low) * place / _STEPS
        if self._knob.step:
            value = min(max(round(value / self._knob.step) * self._knob.step, low), high)
        if self._counts is not None:
            value = self._counts.snapped(value)
        self._quiet = True
        self._spin.setValue(value * spin_factor(self._knob))
        self._quiet = False
        self._tell(value)
        if not self._slider.isSliderDown():
            self._send()

    def _spin_changed(self) -> None:
        if not self._quiet and self._spin is not None:
            self._quiet = True
            self._move_slider(float(spin_value(self._spin, self._knob)))
            self._quiet = False
            self._send()

    def _move_slider(self, value: float) -> None:
        if self._slider is not None and self._knob.low is not None and self._knob.high is not None:
            span = self._knob.high - self._knob.low
            self._slider.setValue(round((value - self._knob.low) / span * _STEPS) if span else 0)

    def _line_done(self) -> None:
        if not self._quiet and self._line is not None and self._line.isModified():
            self._line.setModified(False)
            self._send()

    def _send(self) -> None:
        value = self.value()
        if value is not None and not self._quiet:
            self.chosen.emit(value)
