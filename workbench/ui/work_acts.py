"""The work itself: model, data, measuring, running, and what is done with the selected candidate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from workbench.domain.plan import Plan
from workbench.plugin_host.manifests import user_folder
from workbench.project.commands import ReplacePlan, mark_candidates
from workbench.ui import files
from workbench.ui.actions import Act
from workbench.ui.open_sizes import why_no_sizes
from workbench.ui.originals import measure_original
from workbench.ui.panels.device_metric_dialog import show_device_metric
from workbench.ui.panels.energy_dialog import show_energy
from workbench.ui.panels.export import ask_path
from workbench.ui.panels.ladder_dialog import show_ladder
from workbench.ui.panels.preflight_dialog import show_preflight
from workbench.ui.panels.search_dialog import show_search
from workbench.ui.panels.sensitivity_dialog import show_sensitivities
from workbench.ui.panels.throughput_dialog import show_throughput
from workbench.ui.places_on_disk import show_folder
from workbench.ui.plugin_dialogs import NewPluginDialog, PluginsDialog

if TYPE_CHECKING:
    from workbench.ui.main_window import MainWindow
    from workbench.ui.session import Session

_PREFERRED_SWEEPS = (("quantize.ptq", "weight_bits"), ("prune.l1", "prune_ratio"))


def register_work_acts(window: MainWindow) -> None:
    """Register the acts of the menus Model, Analyse, Compress and Plugins."""
    session = window.session
    missing = session.missing

    def ask_model() -> None:
        ask_path(window, "Open model", window.start_folder(), files.TRAINED, window.open_file, opening=True)

    def candidate_do(what: str) -> None:
        candidate = session.candidate()
        if candidate is None:
            return
        match what:
            case "restore":
                session.restore_candidate_plan(candidate.id)
            case "star":
                session.do(mark_candidates((candidate,), star=not candidate.star))
            case "compare":
                window.panels["compare"].set_candidates((candidate.id,))
                window.bring("compare")
            case "ladder":
                show_ladder(session, candidate.id, window)
            case "delete":
                session.do(mark_candidates((candidate,), deleted=not candidate.deleted))

    def starred() -> bool:
        candidate = session.candidate()
        return candidate is not None and candidate.star

    def delete_in_words() -> str:
        candidate = session.candidate()
        return "Undelete candidate" if candidate is not None and candidate.deleted else "Delete candidate"

    chosen = partial(missing, "candidate")
    for act in (
        Act("model.open", "Open model…", ask_model, "Open an .onnx file", icon="model"),
        Act("model.import", "Import torch model…", window.ask_import,
            "Turn a .pt2 archive or a Python function into ONNX; asks before it runs code"),
        Act("model.sizes", "Sizes of dimensions…", window.set_sizes,
            "Set the sizes that the model's inputs leave open, for costs, latency and runs",
            why_not=partial(why_no_sizes, session)),
        Act("data.choose", "Choose data…", window.choose_data, "Name the data that accuracy is measured on",
            ("Ctrl+D",), "data"),
        Act("model.folder", "Show model in its folder", window.show_model_folder, why_not=partial(missing, "model")),
        Act("analyse.original", "Measure the original", partial(measure_original, session),
            "Measure the original's metric on the test data, and its latency where that is not known",
            why_not=partial(missing, "model", "data")),
        Act("analyse.baseline", "Evaluate the original", session.evaluate_baseline,
            "Measure the original's metric on the test data", why_not=partial(missing, "model", "data")),
        Act("analyse.latency", "Measure latency of the original", session.profile_baseline,
            "Measure how long each operator takes on the chosen device", icon="latency",
            why_not=partial(missing, "model")),
        Act("analyse.throughput", "Measure throughput…", lambda: show_throughput(session, window),
            "Count how many samples a second models get through, in batches and several at once",
            why_not=partial(missing, "model")),
        Act("analyse.device_metric", "Metric on the device…", lambda: show_device_metric(session, window),
            "Run the selected candidate, or the original, on the chosen device, and judge its outputs here",
            why_not=partial(missing, "model", "data")),
        Act("analyse.energy", "Energy of an inference…", lambda: show_energy(session, window),
            "Measure it where the processor has counters, and estimate it from multiplications and moved bytes",
            why_not=partial(missing, "model")),
        Act("analyse.sensitivity", "Measure sensitivity", lambda: default_sweep(session),
            "Measure how much every layer minds", ("F6",), "sensitivity",
            why_not=partial(missing, "model", "data", "methods"), title_now=lambda: sweep_in_words(session)),
        Act("analyse.other", "Sensitivity in other ways…", lambda: show_sensitivities(session, window),
            "Estimate it within seconds, set layers two at a time, or all but one",
            why_not=partial(missing, "model", "methods")),
        Act("compress.run", "Run", session.run, "Compress with the current plan and steps, export and measure",
            ("F5",), "run", why_not=partial(missing, "run")),
        Act("compress.search", "Search…", lambda: show_search(session, window),
            "Find the best candidates within budgets: plans by sensitivities and measured times, built and measured",
            ("Ctrl+F5",), why_not=partial(missing, "model", "methods")),
        Act("compress.preflight", "Will it help here?", lambda: show_preflight(session, window),
            "Foretell what the recipe will take on this device, and which layers are fast in integers", ("Shift+F5",),
            why_not=partial(missing, "model", "methods")),
        Act("compress.reset", "Reset plan", lambda: session.do(ReplacePlan(Plan(), title="Reset plan")),
            "Take every setting away; undo brings them back",
            why_not=lambda: None if session.state.plan.knobs() else "Nothing is set"),
        Act("compress.cancel", "Cancel all jobs", window.cancel_jobs, "Stop what works and waits; what is done stays",
            icon="stop", why_not=lambda: None if window.projects.busy else "No job is running"),
        Act("candidate.restore", "Restore candidate as plan", partial(candidate_do, "restore"),
            "Take over the selected candidate's plan and steps", why_not=chosen),
        Act("candidate.star", "Star candidate", partial(candidate_do, "star"), "Mark the candidate you choose",
            icon="star", why_not=chosen, checked=starred),
        Act("candidate.ladder", "Truth ladder…", partial(candidate_do, "ladder"),
            "Execute the candidate simulated, node by node and as deployed, and see where they differ",
            why_not=chosen),
        Act("candidate.compare", "Compare with the original", partial(candidate_do, "compare"),
            "Settings, layers, classes and the samples that changed, side by side", why_not=chosen),
        Act("candidate.delete", "Delete candidate", partial(candidate_do, "delete"), "Hide it; undo brings it back",
            icon="delete", why_not=chosen, title_now=delete_in_words),
        Act("plugins.list", "Installed plugins…", lambda: PluginsDialog(session, window).open(),
            "What is installed and what could not be loaded", icon="plugins"),
        Act("plugins.folder", "Open plugins folder", lambda: show_folder(user_folder(), session),
            "Folders with a plugin.toml put here are found at the next start"),
        Act("plugins.new", "New plugin…", lambda: NewPluginDialog(session, window).open(),
            "Write a working template to begin with"),
        Act("plugins.reload", "Read plugins again", session.list_methods, "After a plugin was added or changed"),
    ):  # fmt: skip
        window.actions_.add(act)


def default_sweep(session: Session) -> str | None:
    """Measure the most telling sensitivity that the installed methods offer."""
    chosen = _sweep(session)
    return None if chosen is None else session.sweep(*chosen)


def sweep_in_words(session: Session) -> str:
    """Return what `default_sweep` measures, as a title."""
    chosen = _sweep(session)
    knob = None if chosen is None else session.knob(chosen[1])
    return "Measure sensitivity" if knob is None else f"Measure sensitivity: {knob.title}"


def _sweep(session: Session) -> tuple[str, str] | None:
    offered = [
        (method.id, knob) for method in session.methods for knob in method.knobs if session.knob(knob) is not None
    ]
    preferred = [pair for pair in _PREFERRED_SWEEPS if pair in offered]
    return next(iter([*preferred, *offered]), None)
