"""The inspector's plots, one below the other: made one a turn before they are needed, hidden when they are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from workbench.domain.reports import LayerDetail
from workbench.ui.models.importance import Importance
from workbench.ui.models.layer_curves import Chart
from workbench.ui.panels.inspector_importance import ImportancePlot
from workbench.ui.panels.inspector_plots import CurvesPlot, HistogramPlot, NormsPlot, SmallPlot
from workbench.ui.theme import Theme
from workbench.ui.turns import Turns

_USUAL_CHARTS = 3


class PlotStack(QWidget):
    """Shows a layer's charts, or its histogram, or its channels, or how important they were found.

    Each plot is made, and filled, in a turn of the event loop of its own, so that no selection keeps the window from
    answering.

    Signals:
        menuAsked: (plot, place within it) of a context menu.
    """

    menuAsked = Signal(object, QPoint)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._charts: tuple[tuple[Chart, str], ...] = ()
        self._detail: LayerDetail | None = None
        self._norms_of: tuple[LayerDetail, float | None] | None = None
        self._captions: list[QLabel] = []
        self._curves: list[CurvesPlot] = []
        self._filled: dict[int, object] = {}
        self._histogram: HistogramPlot | None = None
        self._norms: NormsPlot | None = None
        self._ranking: Importance | None = None
        self._importance: ImportancePlot | None = None
        self._prepared = False
        self._turns = Turns(self)
        self._waiting: set[int | str] = set()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)

    @property
    def busy(self) -> bool:
        """Whether plots are still to be made or filled."""
        return self._turns.busy

    @property
    def plots(self) -> list[SmallPlot]:
        """The plots that are shown, from top to bottom."""
        made = (*self._curves, self._histogram, self._norms, self._importance)
        return [plot for plot in made if plot is not None and not plot.isHidden()]

    def prepare(self) -> None:
        """Make the plots that a layer usually needs, one a turn; its weights take a moment to be read anyway."""
        if not self._prepared:
            self._prepared = True
            self._turns.add([partial(self._show_chart, place) for place in range(_USUAL_CHARTS)])

    def show_charts(self, charts: Sequence[tuple[Chart, str]]) -> None:
        """Show curves, each below its caption in rich text."""
        self._forget()
        self._charts = tuple(charts)
        self._hide_others(len(charts))
        for place in range(len(charts)):
            self._soon(place, partial(self._show_chart, place))

    def show_histogram(self, detail: LayerDetail) -> None:
        """Show how a layer's weights are spread."""
        self._forget()
        self._detail = detail
        self._hide_others()
        self._soon("histogram", self._show_histogram)

    def show_norms(self, detail: LayerDetail, pruned: float | None) -> None:
        """Show a layer's channels, and the share of them that the plan removes."""
        self._forget()
        self._norms_of = (detail, pruned)
        self._hide_others()
        self._soon("norms", self._show_norms)

    def show_importance(self, importance: Importance) -> None:
        """Show how important a candidate's pruning found a layer's channels."""
        self._forget()
        self._ranking = importance
        self._hide_others()
        self._soon("importance", self._show_importance)

    def clear(self) -> None:
        """Show nothing."""
        self._forget()
        self._hide_others()

    # --- within -------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._charts, self._detail, self._norms_of, self._ranking = (), None, None, None

    def _soon(self, plot: int | str, show: Callable[[], None]) -> None:
        """Fill a plot in a turn of its own, with what is wanted by then."""

        def turn() -> None:
            self._waiting.discard(plot)
            show()

        if plot not in self._waiting:
            self._waiting.add(plot)
            self._turns.add([turn])

    def _hide_others(self, charts: int = 0) -> None:
        for plot, caption in zip(self._curves[charts:], self._captions[charts:], strict=True):
            plot.hide()
            caption.hide()
        if self._histogram is not None and self._detail is None:
            self._histogram.hide()
        if self._norms is not None and self._norms_of is None:
            self._norms.hide()
        if self._importance is not None and self._ranking is None:
            self._importance.hide()

    def _show_chart(self, place: int) -> None:
        """Fill the plot at a place, which is made if it is missing; what is wanted may have changed meanwhile."""
        if place >= len(self._curves):
            label = QLabel()
            label.setTextFormat(Qt.TextFormat.RichText)
            label.setWordWrap(True)
            label.hide()
            self._column.insertWidget(2 * place, label)
            self._captions.append(label)
            self._curves.append(CurvesPlot(self._theme))
            self._add(self._curves[place], 2 * place + 1)
        if place < len(self._charts):
            chart, caption = self._charts[place]
            wanted = (chart, caption, self._theme.roles)
            if self._filled.get(place) != wanted:
                self._filled[place] = wanted
                self._captions[place].setText(caption)
                self._curves[place].set_chart(chart)
            self._captions[place].show()
            self._curves[place].show()

    def _show_histogram(self) -> None:
        if self._histogram is None:
            self._histogram = HistogramPlot(self._theme)
            self._add(self._histogram, self._column.count())
        if self._detail is not None:
            self._histogram.set_detail(self._detail)
            self._histogram.show()

    def _show_norms(self) -> None:
        if self._norms is None:
            self._norms = NormsPlot(self._theme)
            self._add(self._norms, self._column.count())
        if self._norms_of is not None:
            self._norms.set_detail(*self._norms_of)
            self._norms.show()

    def _show_importance(self) -> None:
        if self._importance is None:
            self._importance = ImportancePlot(self._theme)
            self._add(self._importance, self._column.count())
        if self._ranking is not None:
            self._importance.set_importance(self._ranking)
            self._importance.show()

    def _add(self, plot: SmallPlot, place: int) -> None:
        plot.hide()
        plot.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        plot.customContextMenuRequested.connect(partial(self.menuAsked.emit, plot))
        self._column.insertWidget(place, plot)
        plot.ensurePolished()
