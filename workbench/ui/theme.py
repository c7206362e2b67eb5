"""Light and dark looks of the window as named roles, so that no widget invents a colour of its own.

Qt takes ten times as long to replace a style sheet as to set one where there is none, and all of it in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from workbench.ui.curtain import Curtain
from workbench.ui.stylesheet import stylesheet
from workbench.ui.turns import Turns

Mode = Literal["system", "light", "dark"]


@dataclass(frozen=True)
class Roles:
    """One look; "#rrggbb" per role.

    Attributes:
        window: Behind panels. base: of tables, fields and the canvas. raised: of buttons, headers, cards.
        border: of fields and panels. grid: thin lines within tables and plots.
        text, muted, faint: reading, secondary (still ≥ 4.5:1), and disabled text.
        accent, on_accent: of the one primary action, of selection outlines, and of text on it.
        selection: behind selected rows. hover: under the pointer.
        warning, error, ok: of text and icons that say so; `*_back` behind banners.
        node, edge, edge_strong: of graph boxes and arrows.
    """

    window: str
    base: str
    alternate: str
    raised: str
    border: str
    grid: str
    text: str
    muted: str
    faint: str
    accent: str
    on_accent: str
    selection: str
    hover: str
    warning: str
    warning_back: str
    error: str
    error_back: str
    ok: str
    node: str
    edge: str
    edge_strong: str


LIGHT = Roles(
    window="#eef0f2",
    base="#ffffff",
    alternate="#f6f7f8",
    raised="#f8f9fa",
    border="#c5cbd1",
    grid="#e3e6e9",
    text="#1b2127",
    muted="#566069",
    faint="#98a1a9",
    accent="#1f5fa8",
    on_accent="#ffffff",
    selection="#cfe1f5",
    hover="#e4eaf0",
    warning="#8a5200",
    warning_back="#fdf1dc",
    error="#a8321f",
    error_back="#fbe7e3",
    ok="#1d6b4f",
    node="#f8f9fa",
    edge="#aab2ba",
    edge_strong="#1f5fa8",
)
DARK = Roles(
    window="#1f2327",
    base="#17191c",
    alternate="#1c1f23",
    raised="#2a2f34",
    border="#434a52",
    grid="#2c3136",
    text="#e4e7ea",
    muted="#a3acb5",
    faint="#6b747c",
    accent="#6fb1f0",
    on_accent="#0d1216",
    selection="#264a6e",
    hover="#31373e",
    warning="#efb45f",
    warning_back="#3a2e18",
    error="#f1907e",
    error_back="#43231e",
    ok="#6cc6a2",
    node="#2a2f34",
    edge="#5d666f",
    edge_strong="#6fb1f0",
)


class Theme(QObject):
    """Holds the chosen mode, applies it to the application and says when colours changed.

    A change takes a few turns of the event loop, during which windows keep their picture.

    Signals:
        themeChanged: Palette, style sheet and `roles` are the new ones.
    """

    themeChanged = Signal()

    def __init__(self, mode: Mode = "system", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._mode: Mode = mode
        self._dark = self._wants_dark()
        self._turns = Turns(self)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)

    @property
    def mode(self) -> Mode:
        """What the user chose."""
        return self._mode

    @property
    def dark(self) -> bool:
        """Whether the dark look is shown now."""
        return self._dark

    @property
    def changing(self) -> bool:
        """Whether windows still show the look before."""
        return self._turns.busy

    @property
    def roles(self) -> Roles:
        """The colours in force."""
        return DARK if self._dark else LIGHT

    def color(self, role: str) -> QColor:
        """Return the colour of a role of `Roles`, e.g. "accent"."""
        return QColor(getattr(self.roles, role))

    def set_mode(self, mode: Mode) -> None:
        """Choose light, dark, or what the system says."""
        self._mode = mode
        self._refresh()

    def apply(self, application: QApplication) -> None:
        """Give the application Fusion style, this palette, the fonts and the few rules that Fusion lacks."""
        application.setStyle("Fusion")
        application.setFont(body_font())
        self._colour(application)
        self._dress(application)

    def _colour(self, application: QApplication) -> None:
        application.setPalette(palette_of(self.roles))
        # Fusion outlines spin boxes in a darker shade of the window, which does not show on a dark one.
        spin_box = palette_of(self.roles)
        spin_box.setColor(QPalette.ColorRole.Window, QColor(self.roles.border).lighter(140))
        # Declared to take bytes, it takes text only.
        application.setPalette(spin_box, "QAbstractSpinBox")  # type: ignore[arg-type]

    def _dress(self, application: QApplication) -> None:
        application.setStyleSheet(stylesheet(self.roles))

    def _wants_dark(self) -> bool:
        if self._mode == "system":
            return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return self._mode == "dark"

    def _system_changed(self) -> None:
        if self._mode == "system":
            self._refresh()

    def _refresh(self) -> None:
        dark = self._wants_dark()
        if dark == self._dark:
            return
        self._dark = dark
        application = QApplication.instance()
        if not isinstance(application, QApplication):
            self.themeChanged.emit()
            return
        curtain = Curtain(window for window in application.topLevelWidgets() if window.isVisible())
        curtain.fall(hold_sizes=True)
        self._turns.add(partial(step, application) for step in (self._undress, self._colour, self._dress))
        self._turns.add([self.themeChanged.emit, *curtain.rise()])

    @staticmethod
    def _undress(application: QApplication) -> None:
        application.setStyleSheet("")


def palette_of(roles: Roles) -> QPalette:
    """Return the Qt palette of a look."""
    palette = QPalette()
    group = QPalette.ColorGroup
    role = QPalette.ColorRole
    pairs = {
        role.Window: roles.window,
        role.WindowText: roles.text,
        role.Base: roles.base,
        role.AlternateBase: roles.alternate,
        role.ToolTipBase: roles.raised,
        role.ToolTipText: roles.text,
        role.PlaceholderText: roles.muted,
        role.Text: roles.text,
        role.Button: roles.raised,
        role.ButtonText: roles.text,
        role.BrightText: roles.on_accent,
        role.Highlight: roles.selection,
        role.HighlightedText: roles.text,
        role.Link: roles.accent,
        role.LinkVisited: roles.accent,
        role.Accent: roles.accent,
        role.Light: roles.raised,
        role.Midlight: roles.grid,
        role.Mid: roles.border,
        role.Dark: roles.border,
        role.Shadow: "#000000",
    }
    for target, color in pairs.items():
        palette.setColor(target, QColor(color))
    for target in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
        palette.setColor(group.Disabled, target, QColor(roles.faint))
    palette.setColor(group.Disabled, role.Highlight, QColor(roles.grid))
    return palette


def body_font() -> QFont:
    """Return the system's interface font with tabular figures, so that columns of numbers line up."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    if font.pointSizeF() < 9.5:
        font.setPointSizeF(9.5)
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


def title_font() -> QFont:
    """Return the one larger size, for titles."""
    font = body_font()
    font.setPointSizeF(font.pointSizeF() * 1.3)
    font.setWeight(QFont.Weight.DemiBold)
    return font
