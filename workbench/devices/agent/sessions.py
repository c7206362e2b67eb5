"""Makes a stored model ready to run on the device, with inputs made up for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from workbench.devices.agent.answers import AgentError


def runnable(
    path: Path, options: Any, model: Mapping[str, Any], seed: int, number: int
) -> tuple[Callable[[], object], Any]:
    """Return what runs the model once, and its session; it was run once already; for arguments see `opened`.

    Raises:
        AgentError: the runtime refuses the model, or fails to run it.
    """
    run, session = opened(path, options, model, seed, number)
    try:
        run()
    except Exception as error:  # the runtime raises classes of its C++ binding with no common base
        raise AgentError("failed", str(error), number) from error
    return run, session


def opened(
    path: Path, options: Any, model: Mapping[str, Any], seed: int, number: int
) -> tuple[Callable[[], object], Any]:
    """Return what runs the model once, and its session.

    Args:
        path: The model.
        options: Of the session.
        model: {"shapes": {input: [type, shape]}}.
        seed: Of the inputs.
        number: Of the model in the job, for errors.

    Raises:
        AgentError: the runtime refuses the model.
    """
    import numpy as np
    import onnxruntime as ort

    from workbench.engines.inference_ort.drawn_inputs import draw
    from workbench.engines.inference_ort.options import PROVIDER

    try:
        shapes = {name: (np.dtype(kind), tuple(shape)) for name, (kind, shape) in model["shapes"].items()}
    except TypeError as error:
        raise AgentError("refused", f"numpy on the device has no such type: {error}", number) from error
    try:
        session = ort.InferenceSession(str(path), options, providers=[PROVIDER])
    except Exception as error:  # the runtime raises classes of its C++ binding with no common base
        raise AgentError("refused", str(error), number) from error
    return partial(session.run, None, draw(shapes, seed)), session
