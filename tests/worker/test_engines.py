from __future__ import annotations

import inspect

from workbench.engines.contracts import TrainingEngine
from workbench.worker.engines import DeferredTrainingEngine


def test_the_engine_that_is_loaded_late_does_all_that_methods_may_ask_for():
    for name, asked in inspect.getmembers(TrainingEngine, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(getattr(DeferredTrainingEngine, name)) == inspect.signature(asked), name
