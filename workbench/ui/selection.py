"""The one selection that graph, table, inspector and plots share."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QObject, Signal


class Selection(QObject):
    """Which layers and which candidate the user looks at; setting what is already selected stays silent."""

    layersChanged = Signal(tuple)
    candidateChanged = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers: tuple[str, ...] = ()
        self._candidate: str | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the selected layers (or other graph nodes), the current one last."""
        return self._layers

    @property
    def current(self) -> str | None:
        """The layer that was selected last, or None."""
        return self._layers[-1] if self._layers else None

    @property
    def candidate(self) -> str | None:
        """Id of the selected candidate, or None for the original model."""
        return self._candidate

    def set_layers(self, layers: Iterable[str]) -> None:
        """Select exactly these layers."""
        names = tuple(dict.fromkeys(layers))
        if names != self._layers:
            self._layers = names
            self.layersChanged.emit(names)

    def toggle_layer(self, layer: str) -> None:
        """Add a layer to the selection, or take it away."""
        rest = tuple(name for name in self._layers if name != layer)
        self.set_layers(rest if layer in self._layers else (*rest, layer))

    def set_candidate(self, candidate: str | None) -> None:
        """Select one candidate, or none."""
        if candidate != self._candidate:
            self._candidate = candidate
            self.candidateChanged.emit(candidate)
