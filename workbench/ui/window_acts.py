"""What the window itself can do: look, layouts, panels, palette, help."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from workbench.ui.actions import Act
from workbench.ui.graph_acts import register_graph_acts
from workbench.ui.help_pages import Page, about_page, choosing_page, devices_page, shortcuts_page, words_page
from workbench.ui.places_on_disk import show_folder
from workbench.ui.theme import Mode

if TYPE_CHECKING:
    from workbench.ui.main_window import MainWindow

PANELS = ("graph", "layers", "inspector", "pareto", "recipe", "jobs", "compare")
PANEL_KEYS = {name: f"Alt+{number}" for number, name in enumerate(PANELS, start=1)}
_MODES: tuple[tuple[Mode, str], ...] = (("system", "As the system"), ("light", "Light"), ("dark", "Dark"))


def register_window_acts(window: MainWindow) -> None:
    """Register everything about the window."""
    actions, theme, preferences = window.actions_, window.session.theme, window.preferences
    actions.add(
        Act(
            "view.palette",
            "Command palette…",
            window.open_palette,
            "Find anything that can be done",
            ("Ctrl+K",),
            "palette",
        )
    )

    def choose_mode(mode: Mode) -> None:
        preferences.mode = mode
        theme.set_mode(mode)

    for panel in PANELS:
        actions.add(
            Act(
                f"panel.{panel}",
                f"Go to {panel}",
                partial(window.bring, panel),
                "Show the panel and give it the keyboard",
                (PANEL_KEYS[panel],),
                panel,
                why_not=window.why_no_content,
            )
        )
    for mode, title in _MODES:
        actions.add(
            Act(
                f"view.{mode}",
                title,
                partial(choose_mode, mode),
                f"Appearance: {title.lower()}",
                checked=partial(lambda mode: theme.mode == mode, mode),
            )
        )
    actions.add(
        Act(
            "view.switch",
            "Switch light and dark",
            lambda: choose_mode("light" if theme.dark else "dark"),
            keys=("Ctrl+Shift+L",),
        )
    )
    for name in ("Analyse", "Compare"):
        actions.add(
            Act(
                f"view.layout.{name.lower()}",
                f"Layout: {name}",
                partial(window.show_layout, name),
                f"Arrange the panels to {name.lower()}; where you move them is remembered",
                ("Ctrl+1",) if name == "Analyse" else ("Ctrl+2",),
                why_not=window.why_no_content,
                checked=partial(lambda name: window.layout_name == name, name),
            )
        )
    actions.add(
        Act("view.reset", "Reset layout", window.reset_layout, "Put the panels of this layout where they were at first",
            why_not=window.why_no_content)
    )  # fmt: skip
    actions.add(Act("view.full", "Full screen", window.toggle_full_screen, keys=("F11",), checked=window.isFullScreen))
    actions.add(
        Act("graph.find", "Find in graph…", window.find_in_graph, "Find a node by name or operator",
            ("Ctrl+F",), "search", why_not=partial(window.session.missing, "model"))
    )  # fmt: skip
    for id, title, name, key in (
        ("graph.in", "Zoom in", "zoom-in", "Ctrl++"),
        ("graph.out", "Zoom out", "zoom-out", "Ctrl+-"),
        ("graph.fit", "Show the whole graph", "fit", "Ctrl+0"),
    ):
        actions.add(
            Act(
                id,
                title,
                partial(window.zoom_graph, id),
                keys=(key,),
                icon=name,
                why_not=partial(window.session.missing, "model"),
            )
        )
    register_graph_acts(window)
    _help(window)


def _help(window: MainWindow) -> None:
    actions = window.actions_
    actions.add(
        Act("help.shortcuts", "Keyboard shortcuts", lambda: Page("Shortcuts", shortcuts_page(actions), window).open(),
            keys=("F1",), icon="help")
    )  # fmt: skip
    actions.add(
        Act(
            "help.words",
            "What the words mean",
            lambda: Page("Words", words_page(), window).open(),
            "The field's terms in a line each",
        )
    )
    actions.add(
        Act(
            "help.choosing",
            "Choosing among candidates",
            lambda: Page("Choosing", choosing_page(), window).open(),
            "Axes, budgets, filters, tags, and comparing",
        )
    )
    actions.add(
        Act(
            "help.devices",
            "Measuring on another machine",
            lambda: Page("Devices", devices_page(), window).open(),
            "What a device needs, and what runs there",
        )
    )
    actions.add(Act("help.log", "Open log folder", lambda: show_folder(window.log_folder, window.session)))
    actions.add(Act("help.about", "About", lambda: Page("About", about_page(), window).open()))
