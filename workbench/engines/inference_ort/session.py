"""Makes a graph or a file ready to run in ONNX Runtime, the same way for evaluation, calibration and latency."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError
from workbench.engines.contracts import Inputs
from workbench.engines.inference_ort import failures, feeding
from workbench.engines.inference_ort.options import FATAL_ONLY, PROVIDER, session_options
from workbench.graph.model import ModelGraph, ValueInfo

# Protobuf refuses 2 GiB; below that, head-room for everything that is not a weight.
_IN_MEMORY_LIMIT_BYTES = 1_900_000_000


class OrtSession:
    """One model ready to run; see InferenceSession.

    Args:
        session: The runtime's session.
        source: How messages name the model.
        cancel: Interrupts a run that is under way.
        folder: Temporary folder that must outlive the session (models above 2 GB), or None.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        *,
        source: str | None = None,
        cancel: CancelToken | None = None,
        folder: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self._session = session
        self._source = source
        self._cancel = cancel
        self._folder = folder
        self.inputs: tuple[ValueInfo, ...] = tuple(
            feeding.value_info(arg.name, arg.type, arg.shape) for arg in session.get_inputs()
        )
        self.outputs: tuple[ValueInfo, ...] = tuple(
            feeding.value_info(arg.name, arg.type, arg.shape) for arg in session.get_outputs()
        )
        self._fixed_batch = feeding.fixed_batch(self.inputs)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs to feed."""
        return tuple(info.name for info in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(info.name for info in self.outputs)

    def run(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Run one batch; a model with a fixed batch size is run as often as it takes.

        Raises:
            DataError: the batch does not fit the model's inputs.
            CancelledError: the session's cancel token was set while it ran.
            JobError: the runtime failed; names the node where it says.
        """
        return feeding.run_in_parts(self.fitted(inputs), self._fixed_batch, self._run_once)

    def fitted(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Return the batch cast to the model's element types; DataError where it does not fit its inputs."""
        return feeding.fit(inputs, self.inputs, self._source)

    def run_exactly(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Run once with arrays that already fit (names, types, sizes): no checks, no splitting, for timing."""
        return self._run_once(inputs)

    def _run_once(self, inputs: Inputs) -> dict[str, np.ndarray]:
        names = self.output_names
        if self._cancel is None:
            return dict(zip(names, self._call(names, inputs, None), strict=True))
        self._cancel.raise_if_cancelled()
        options = ort.RunOptions()
        options.log_severity_level = FATAL_ONLY

        def terminate() -> None:
            options.terminate = True

        forget = self._cancel.on_cancel(terminate)
        try:
            return dict(zip(names, self._call(names, inputs, options), strict=True))
        finally:
            forget()

    def _call(self, names: tuple[str, ...], inputs: Inputs, options: ort.RunOptions | None) -> list[Any]:
        try:
            return self._session.run(names, dict(inputs), options)  # type: ignore[no-any-return]
        except Exception as error:  # the runtime raises classes of its C++ binding with no common base
            if failures.terminated(error):
                raise CancelledError from None
            raise failures.failed(error, self._source) from error

    def end_profiling(self) -> Path:
        """Stop profiling (see `options.session_options`) and return the file that the runtime wrote."""
        return Path(self._session.end_profiling())


def open_session(
    model: ModelGraph | Path,
    *,
    threads: int = 0,
    optimize: bool = True,
    cancel: CancelToken | None = None,
    options: ort.SessionOptions | None = None,
) -> OrtSession:
    """Make a session from a graph in memory or from a file.

    Args:
        model: The graph, or the path of an .onnx file.
        threads: Threads within an operator; 0 takes all cores.
        optimize: Whether the runtime fuses operators.
        cancel: Interrupts runs of this session.
        options: Complete options instead of `threads` and `optimize`.

    Raises:
        ModelFileError: the runtime refuses the model; says which node or operator.
    """
    options = options or session_options(threads=threads, optimize=optimize)
    folder: tempfile.TemporaryDirectory[str] | None = None
    argument: str | bytes
    if isinstance(model, Path):
        source = failures.described(model)
        argument = str(model)
    else:
        source = failures.described(model.source)
        if sum(model.constant_bytes(name) for name in model.initializers) > _IN_MEMORY_LIMIT_BYTES:
            from workbench.graph.storage import save_model

            folder = tempfile.TemporaryDirectory(prefix="workbench-")
            path = Path(folder.name) / "model.onnx"
            save_model(model, path)
            argument = str(path)
        else:
            argument = model.to_bytes()
    try:
        session = ort.InferenceSession(argument, options, providers=[PROVIDER])
    except Exception as error:  # the runtime raises classes of its C++ binding with no common base
        raise failures.refused(error, source) from error
    return OrtSession(session, source=source, cancel=cancel, folder=folder)
