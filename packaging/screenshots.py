"""Takes the README's pictures from the running window, driven through its public objects, light and dark.

usage: python packaging/screenshots.py [--out resources/screenshots] [--quick]

Runs the embedded demo to its end and then, where the shared models and data lie beside the checkout, the main job on
ResNet-20 and CIFAR-10: some minutes in all. Needs a display of 1280x800 or larger, or `xvfb-run -s "-screen 0
1280x800x24"`. `--quick` skips what trains.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from PySide6.QtCore import QSize
from PySide6.QtWidgets import QApplication, QWidget

from workbench.app import make_window
from workbench.domain.knobs import Setting
from workbench.domain.plan import Plan
from workbench.domain.recipe import Step
from workbench.jobs.specs import CompressJob
from workbench.project.commands import ReplaceRecipe
from workbench.ui.graph_view.overlays import choices
from workbench.ui.main_window import MainWindow
from workbench.ui.preferences import Preferences

SIZE = QSize(1280, 800)
LIMIT_S = 1800.0
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CIFAR10 = """
task: classification
metric: top1
train: {{reader: npz, path: {data}/cifar10/train.npz, inputs: x, targets: y}}
test:  {{reader: npz, path: {data}/cifar10/test.npz,  inputs: x, targets: y}}
preprocess: {{scale: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: NHWC->NCHW}}
augment: [flip, {{crop: 4}}]
"""
_PRUNED = (Step(method="prune.l1", parameters={"channel_multiple": 8}), Step(method="train.finetune"))
_QUANTIZED = (Step(method="quantize.ptq"),)
_BITS: dict[str, Setting] = {"weight_bits": 8, "activation_bits": 8}
RUNS: tuple[tuple[str, dict[str, Setting], tuple[Step, ...]], ...] = (
    ("W8A8", _BITS, _QUANTIZED),
    ("W4A8", {"weight_bits": 4, "activation_bits": 8}, _QUANTIZED),
    ("half", {"prune_ratio": 0.5}, _PRUNED),
    ("half W8A8", {"prune_ratio": 0.5, **_BITS}, (*_PRUNED, *_QUANTIZED)),
)


class Photographer:
    """Waits for the window and takes pictures of it."""

    def __init__(self, application: QApplication, window: MainWindow, out: Path) -> None:
        self._application = application
        self._window = window
        self._out = out

    def wait(self, done: Callable[[], object], limit_s: float = LIMIT_S) -> None:
        """Let the window work until `done`.

        Raises:
            TimeoutError: it took too long.
        """
        end = time.monotonic() + limit_s
        while not done():
            if time.monotonic() > end:
                raise TimeoutError("the window did not get there in time")
            self._application.processEvents()
            time.sleep(0.01)

    def settle(self, seconds: float = 0.4) -> None:
        """Let animations and repaints end."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end)

    def take(self, name: str, widget: QWidget | None = None) -> None:
        """Write a picture of the window, or of one of its dialogs, as `name`.png."""
        self.settle()
        path = self._out / f"{name}.png"
        (widget or self._window).grab().save(str(path))
        with Image.open(path) as picture:
            small = picture.convert("RGB")
        small.save(path, optimize=True)
        print(f"{path} {path.stat().st_size // 1000} kB")


def main() -> int:
    """Drive the window through the main job and take the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "resources" / "screenshots")
    parser.add_argument("--quick", action="store_true", help="skip the recipes that train")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    application = QApplication(sys.argv[:1])
    with tempfile.TemporaryDirectory() as folder:
        for name in ("DATA", "CONFIG", "CACHE"):
            os.environ[f"XDG_{name}_HOME"] = str(Path(folder) / name.lower())
        window = make_window(application, Preferences(Path(folder) / "settings.ini"))
        try:
            camera = Photographer(application, window, options.out)
            _demo(window, camera, options.quick)
            if SHARED.is_dir():
                _resnet20(window, camera, Path(folder), options.quick)
        finally:
            window.close_and_cancel()
            application.processEvents()
    return 0


def _demo(window: MainWindow, camera: Photographer, quick: bool) -> None:
    session, theme = window.session, window.session.theme
    theme.set_mode("light")
    window.resize(SIZE)
    window.show()
    camera.take("welcome")
    window.build_workspace()
    session.list_methods()
    window.start_demo()
    camera.wait(lambda: session.state.baseline is not None and bool(session.methods))
    if quick:
        for record in session.jobs.active:
            spec = session.jobs.spec(record.id)
            if isinstance(spec, CompressJob) and any(step.method.startswith("train") for step in spec.recipe.steps):
                session.jobs.cancel(record.id)
    camera.wait(lambda: bool(session.state.candidates) and bool(session.state.sensitivities))
    graph = window.panels["graph"]
    if not quick:
        camera.take("running")
    camera.wait(lambda: not window.projects.busy)
    window.banner.clear()
    layers = session.state.inspect.layers if session.state.inspect is not None else ()
    chosen = layers[min(4, len(layers) - 1)].name
    session.selection.set_layers((chosen,))
    offered = [choice.id for choice in choices(session.state, session.knobs) if choice.reason is None]
    graph.set_overlay(next((id for id in offered if id.startswith("drop:")), "operator"))
    camera.take("analyse_light")
    theme.set_mode("dark")
    camera.take("analyse_dark")
    window.show_layout("Compare")
    camera.take("compare_dark")
    theme.set_mode("light")
    camera.take("compare_light")
    window.show_layout("Analyse")
    palette = window.open_palette()
    palette.field.setText("sens")
    camera.take("palette", palette)
    palette.close()


def _resnet20(window: MainWindow, camera: Photographer, folder: Path, quick: bool) -> None:
    session = window.session
    window.open_file(SHARED / "models" / "resnet20_cifar10_folded.onnx")
    camera.wait(lambda: session.state.model is not None and "resnet20" in session.state.model.path)
    camera.wait(lambda: session.state.inspect is not None)
    data = folder / "data.yaml"
    data.write_text(CIFAR10.format(data=SHARED), encoding="utf-8")
    window.open_file(data)
    session.profile_baseline()
    for name, settings, steps in RUNS:
        if not quick or steps == _QUANTIZED:
            session.do(ReplaceRecipe(Plan(default=settings), steps, title=f"Settings of {name}"))
            session.run(name)
    session.sweep("quantize.ptq", "weight_bits", (8, 4, 2), samples=500 if quick else 2000)
    camera.wait(lambda: len(session.state.candidates) == (2 if quick else len(RUNS)))
    camera.wait(lambda: bool(session.state.sensitivities) and len(session.state.sensitivities[0].points) >= 30)
    window.bring("jobs")
    camera.take("resnet20_running_light")
    camera.wait(lambda: not window.projects.busy)
    window.bring("recipe")
    window.panels["graph"].set_overlay("drop:quantize.ptq:weight_bits:2")
    layers = session.state.inspect.layers if session.state.inspect is not None else ()
    session.selection.set_layers((layers[7].name,))
    camera.take("resnet20_light")
    session.theme.set_mode("dark")
    camera.take("resnet20_dark")


if __name__ == "__main__":
    sys.exit(main())
