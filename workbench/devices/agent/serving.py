"""Runs batches that are sent to the device and sends back what the model made of them.

Both ways a frame is its length in 8 bytes and an .npz whose arrays are called 0, 1, … in the order of the session's
inputs or outputs; a length of nought is followed by a frame of text, why there are no outputs.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

from workbench.devices.agent.answers import AgentError, Answers
from workbench.devices.agent.description import needed_modules


def serve(path: Path, threads: int, stdin: BinaryIO, answers: Answers) -> None:
    """Say what the model takes and gives, then answer every batch until no more come.

    Raises:
        AgentError: the runtime is missing or refuses the model.
    """
    needed_modules()
    import numpy as np
    import onnxruntime as ort

    from workbench.engines.inference_ort.options import PROVIDER, session_options

    try:
        session = ort.InferenceSession(str(path), session_options(threads=threads), providers=[PROVIDER])
    except Exception as error:  # the runtime raises classes of its C++ binding with no common base
        raise AgentError("refused", str(error)) from error
    inputs = [(value.name, value.type, value.shape) for value in session.get_inputs()]
    outputs = [(value.name, value.type, value.shape) for value in session.get_outputs()]
    answers.say("ready", inputs=inputs, outputs=outputs)
    names = [name for name, _, _ in inputs]
    while True:
        head = stdin.read(8)
        if len(head) < 8:
            return
        with np.load(io.BytesIO(stdin.read(int.from_bytes(head, "big")))) as batch:
            arrays = {name: _objects(batch[str(number)]) for number, name in enumerate(names)}
        try:
            found = session.run(None, arrays)
        except Exception as error:  # as above
            text = str(error).encode()
            answers.stream.write(bytes(8) + len(text).to_bytes(8, "big") + text)
        else:
            frame = io.BytesIO()
            np.savez(frame, **{str(number): _texts(array) for number, array in enumerate(found)})
            answers.stream.write(frame.tell().to_bytes(8, "big") + frame.getvalue())
        answers.stream.flush()


def _objects(array: Any) -> Any:
    """Return text as the runtime takes it."""
    return array.astype(object) if array.dtype.kind == "U" else array


def _texts(array: Any) -> Any:
    """Return text as a file without code in it can hold it."""
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    return array.astype(str) if kind == "O" else array
