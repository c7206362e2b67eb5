"""Proves that a rewritten graph computes what the original does, on made-up inputs and on the user's own samples."""

from __future__ import annotations

import numpy as np

from workbench.api import BadInputError, Batch, DataError, JobError, ModelGraph, Tools, UnsupportedGraphError

_OPEN_SIZES = (16, 64, 224)
_BATCH = 2
_DEEPEST = 12
_ENOUGH_LEVELS = 3


class Proof:
    """Inputs, and what the original answers to them.

    Where an output says nothing on all these inputs (a detector that finds nothing in noise answers 0 everywhere), the
    values that lead to it are compared too, by name, as far as the rewritten graph still computes them.

    Args:
        graph: The original.
        tools: Engine, data, random numbers, cancel.
        samples: How many of the recipe's samples to try, where it names data.

    Raises:
        UnsupportedGraphError: the model runs on no inputs that could be made up, and the recipe names no data.
    """

    def __init__(self, graph: ModelGraph, tools: Tools, samples: int) -> None:
        self._tools = tools
        self._inputs: list[dict[str, np.ndarray]] = []
        self.sources: list[str] = []
        session = tools.inference.open(graph, threads=1, optimize=False, cancel=tools.cancel)
        for size in _OPEN_SIZES:
            trials = [_random(graph, tools.rng, size, normal) for normal in (True, False)]
            try:
                for inputs in trials:
                    session.run(inputs)
            except (JobError, BadInputError):
                continue  # another size may fit the model's dynamic dimensions
            self._inputs.extend(trials)
            self.sources.append("random inputs")
            break
        if tools.data is not None and samples:
            batches = [dict(batch.inputs) for batch in _calibration(tools, samples)]
            self._inputs.extend(batches)
            self.sources.extend(["calibration samples"] if batches else [])
        if not self._inputs:
            raise UnsupportedGraphError(
                "no inputs could be made up that the model runs on, so that nothing could be proven",
                where=graph.source,
                action="Name data in the recipe, or take merge.layers out of it.",
            )
        self._outputs = [info.name for info in graph.outputs]
        self._expected = self._answers(graph, self._inputs)
        silent = [name for name in self._outputs if not _varies([answer[name] for answer in self._expected])]
        self._witnesses = self._leading_to(graph, silent)
        if self._witnesses:
            seen = self._answers(graph.with_outputs(self._witnesses), self._inputs)
            self._expected = [answer | inner for answer, inner in zip(self._expected, seen, strict=True)]

    def deviation(self, graph: ModelGraph) -> float:
        """Return the largest difference of any output, over the largest value of that output; infinity for a new shape.

        Raises:
            CancelledError: the run was cancelled.
        """
        known = {output for node in graph.nodes for output in node.outputs}
        witnesses = [name for name in self._witnesses if name in known]
        if self._witnesses and not witnesses:
            return float("inf")
        names = list(dict.fromkeys([*self._outputs, *witnesses]))
        found = self._answers(graph.with_outputs(names) if witnesses else graph, self._inputs)
        return max(
            (
                _difference(expected[name], answer[name])
                for expected, answer in zip(self._expected, found, strict=True)
                for name in names
            ),
            default=0.0,
        )

    def _answers(self, graph: ModelGraph, inputs: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        # Without the runtime's own rewriting, which would merge the original the same way and hide what it costs.
        session = self._tools.inference.open(graph, threads=1, optimize=False, cancel=self._tools.cancel)
        answers = []
        for arrays in inputs:
            self._tools.cancel.raise_if_cancelled()
            answers.append(session.run(arrays))
        return answers

    def _leading_to(self, graph: ModelGraph, values: list[str]) -> list[str]:
        """Return values before the named ones that do vary, of the nearest few levels."""
        found: list[str] = []
        levels = 0
        frontier = values
        for _ in range(_DEEPEST):
            producers = [node for name in frontier if (node := graph.producer(name)) is not None]
            frontier = list(
                dict.fromkeys(value for node in producers for value in node.inputs if graph.producer(value))
            )
            frontier = [value for value in frontier if not graph.is_constant(value)]
            if not frontier or levels == _ENOUGH_LEVELS:
                break
            answers = self._answers(graph.with_outputs(frontier), self._inputs[:1])
            varying = [name for name in frontier if _varies([answers[0][name]])]
            found.extend(varying)
            levels += bool(varying)
        return list(dict.fromkeys(found))


def _varies(arrays: list[np.ndarray]) -> bool:
    """Whether a value of numbers is not the same everywhere."""
    numbers = [array[np.isfinite(array)] for array in arrays if array.dtype.kind == "f"]
    if not numbers:
        return any(array.size > 0 for array in arrays)
    together = np.concatenate(numbers)
    return together.size > 0 and float(np.ptp(together)) > 0


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape:
        return float("inf")
    if expected.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(expected, found) else float("inf")
    before, after = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(before)
    if not np.array_equal(before[~finite], after[~finite], equal_nan=True) or not np.isfinite(after[finite]).all():
        return float("inf")
    scale = float(np.abs(before[finite]).max(initial=0.0))
    difference = float(np.abs(before[finite] - after[finite]).max(initial=0.0))
    return difference / scale if scale else difference


def _calibration(tools: Tools, samples: int) -> list[Batch]:
    """Return batches of the recipe's samples; none where its data has no training split."""
    assert tools.data is not None
    try:
        return list(tools.data.calibration(samples, 16))
    except DataError:
        return []


def _random(graph: ModelGraph, rng: np.random.Generator, size: int, normal: bool) -> dict[str, np.ndarray]:
    """Return made-up inputs: numbers around 0 or from 0 to 1, integers of 0 and 1; open sizes are `size`, a batch 2."""
    arrays: dict[str, np.ndarray] = {}
    batches = {info.shape[0] for info in graph.inputs if info.shape and isinstance(info.shape[0], str)}
    for info in graph.inputs:
        shape = [
            extent if isinstance(extent, int) and extent > 0 else (_BATCH if axis == 0 or extent in batches else size)
            for axis, extent in enumerate(info.shape or ())
        ]
        kind = info.dtype or "float32"
        if "float" in kind:
            drawn = rng.standard_normal(shape) if normal else rng.random(shape)
            arrays[info.name] = drawn.astype(kind if kind != "bfloat16" else "float32")
        elif kind != "string":
            arrays[info.name] = rng.integers(0, 2, shape).astype(kind)
    return arrays
