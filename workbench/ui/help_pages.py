"""Short pages of help within the window: shortcuts, the field's words, and what this program is."""

from __future__ import annotations

import html
import platform

import PySide6
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from workbench import __version__
from workbench.ui.actions import Actions

WORDS = (
    ("Layer", "A node with weights that can be compressed: convolution, linear, embedding, recurrent."),
    ("Channel group", "Channels of several layers that must be removed together, because additions or joins tie them."),
    ("Branch", "Layers that can only be left out together: one side of an addition, or a run that keeps its shape."),
    ("Knob, setting, plan", "What can be turned on a layer; one value of it; all settings of the model."),
    ("Method, step, recipe", "A compression algorithm; its place in the order; everything needed to repeat a run."),
    ("Candidate", "The compressed ONNX file of a recipe, with accuracy and latency measured on that very file."),
    ("Sensitivity", "How the metric changes when one knob of one layer takes one value and all else stays."),
    ("Baseline", "The original model's own figures, which every candidate is compared with."),
    ("Front", "The candidates that no other one beats in both accuracy and cost."),
    ("Study", "A search: knobs in play, objectives, budgets, and when to end; its candidates are built and measured."),
    ("Strategy", "What decides which candidate of a study is built next: by sensitivities, by evolution, at random …"),
    ("Hypervolume", "What a front covers, between its points and the worst figures that still count: more is better."),
    ("±", "Half of the 95 % confidence interval. Two figures whose intervals overlap may not differ at all."),
    ("pt", "Percentage points: 91 % after 92 % is −1 pt."),
    ("Roofline", "The most that arithmetic and memory of a device allow; a layer is no faster than the lower of them."),
    ("Throughput", "Samples a second of several streams together; each stream is a session of its own."),
    ("Arena", "What the runtime keeps to hold activations in; it grows with the batch and not with the weights."),
    ("MACs", "Multiply-accumulate operations for one sample. Fewer MACs are not always less time: measure."),
    ("W8A8", "Eight-bit weights and eight-bit activations."),
)


def shortcuts_page(actions: Actions) -> str:
    """Return the table of all shortcuts."""
    rows = [(", ".join(_native(key) for key in act.keys), act.title) for act in actions if act.keys] + [
        ("1 … 9", "Colour the graph by another overlay"),
        ("+  −  0", "Zoom the graph in, out, to fit"),
    ]
    rows += [
        ("Arrows", "Walk along the graph"),
        ("Shift+Space", "Collapse the block around the selected one"),
        ("Space and drag", "Move the graph"),
        ("Enter", "Zoom to the selection"),
    ]
    return _table("Shortcuts", rows)


def words_page() -> str:
    """Return the field's words."""
    return _table("Words", list(WORDS))


def devices_page() -> str:
    """Return how to measure on another machine."""
    return _table(
        "Measuring on another machine",
        [
            ("What it needs", "Linux or macOS, an SSH server, Python 3.9 or newer with numpy and onnxruntime."),
            ("Make its Python", "python3 -m venv ~/venv && ~/venv/bin/pip install numpy onnxruntime, there."),
            ("Let yourself in", "ssh-copy-id USER@HOST here, once. Passwords are neither asked for nor stored; a key "
             "with a passphrase belongs into the SSH agent."),
            ("Add it", "Analyse ▸ Measure on ▸ Devices…: host, user, key file, and ~/venv/bin/python as Python. "
             "Check says what is missing."),
            ("Host key", "A machine whose key is not known is refused. Connect once with ssh and compare it, or tick "
             "“Remember its host key the first time”. A key that changed is always refused."),
            ("Measure on it", "Choose it below the recipe's steps. Latency of the original and of every candidate is "
             "measured there; figures that were taken elsewhere are greyed."),
            ("What runs there", "The same interleaved rounds as here, in a process of its own: it goes on when the "
             "connection drops, and its result is fetched when it is back. Cancel ends it there too."),
            ("What is kept there", "A small program and the models, each once, up to 4 GiB, in the device's folder."),
            ("Accuracy there", "workbench evaluate MODEL --data DATA.yaml --device NAME"),
        ],
    )  # fmt: skip


def choosing_page() -> str:
    """Return how to choose among candidates."""
    return _table(
        "Choosing among candidates",
        [
            ("Front", "Any measure against any other, e.g. accuracy against bit operations. A candidate leaves the "
             "front only when another one beats it beyond the intervals."),
            ("Budget", "Drag the two lines: what lies beyond is greyed in the plot and left out of the table."),
            ("Parallel", "An axis for each measure, the best always at the top. Drag along an axis to bound it, click "
             "the bound to take it away."),
            ("Filter", "Words of name, steps or note; #tag for a tag; “starred” for starred candidates."),
            ("Tags, notes, star", "Double-click in the table, or right-click a candidate. Delete hides; undo, or Show "
             "deleted, brings it back."),
            ("Foretold", "While a search runs, hollow points stand where its next candidates are foretold to land, "
             "with dotted intervals; the one with a dot is being built. They become solid once they are measured."),
            ("Compare", "Select several rows, right-click, Compare. Layers: time, and how far outputs are from "
             "the original's. Classes: what each class loses. Samples: pictures of what is predicted otherwise."),
            ("On the command line", "workbench compare ORIGINAL.onnx A.onnx B.onnx --data DATA.yaml"),
        ],
    )  # fmt: skip


def about_page() -> str:
    """Return name, version, licence and what it runs on."""
    return (
        f"<h3>Model compression workbench {__version__}</h3>"
        "<p>Compresses trained networks and measures what it exports.</p>"
        "<p>Licence: Apache-2.0. Icons: Phosphor (MIT). The demo's images: Fashion-MNIST (Zalando, MIT).</p>"
        f"<p>Python {platform.python_version()}, Qt {PySide6.__version__}, {platform.system()} {platform.machine()}</p>"
    )


class Page(QDialog):
    """Shows one page."""

    def __init__(self, title: str, page: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.resize(560, 480)
        self.browser = QTextBrowser()
        self.browser.setHtml(page)
        self.browser.setOpenExternalLinks(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.browser)
        layout.addWidget(buttons)


def _native(key: str) -> str:
    return key.replace("+", " + ") if len(key) > 1 else key


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    body = "".join(
        f"<tr><td style='padding: 4px 16px 4px 0'><b>{html.escape(left)}</b></td>"
        f"<td style='padding: 4px 0'>{html.escape(right)}</td></tr>"
        for left, right in rows
    )
    return f"<h3>{html.escape(title)}</h3><table>{body}</table>"
