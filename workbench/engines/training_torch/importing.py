"""Turns torch models into the one graph at the door: torch.export archives and Python factories become ONNX files.

Both may run code that came with them (a factory is code; loading an archive unpickles objects), so that both need the
user's word that the source is trusted.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import torch
from torch import Tensor, nn

from workbench.domain.errors import BadInputError, JobError, ModelFileError
from workbench.engines.training_torch.from_graph import GraphModule, unsupported
from workbench.graph.model import ModelGraph
from workbench.graph.passes.fold_constants import fold_constants
from workbench.graph.storage import open_model, save_model

_AGREEMENT = 1e-3  # of the output's scale; a wrong export differs by far more


@dataclass(frozen=True)
class _Source:
    """What is exported, and with which example."""

    model: nn.Module | torch.export.ExportedProgram
    example: tuple[Any, ...]


def import_model(source: str | Path, out: Path, *, trusted: bool = False) -> tuple[str, ...]:
    """Write the ONNX file of a torch model to `out`; returns notes.

    The batch is a dynamic dimension where the model allows it, BatchNormalization stays as it is, and the file is
    compared with the torch model on the example inputs.

    Args:
        source: A torch.export archive (.pt2), or "file.py:function". The function takes nothing and returns
            (module, example inputs): a tensor, a tuple of them, or a mapping by parameter name.
        out: The ONNX file to write.
        trusted: The user's word that code from the source may run here.

    Raises:
        BadInputError: not trusted, no such file or function, or the function returns something else.
        JobError: torch can't export the model, or the exported file gives other outputs.
        StorageError: the file can't be written.
    """
    text = str(source)
    path, function = _parts(text)
    if not path.is_file():
        raise BadInputError("there is no such file", where=str(path), action="Check the path.")
    if not trusted:
        what = "is Python code" if function else "is a torch.export archive, which may contain code"
        raise BadInputError(
            f"{path.name} {what} that runs while it is imported",
            where=str(path),
            action="Import it with --trust if you trust where it comes from.",
        )
    with _quiet():
        found = _from_factory(path, function) if function else _from_archive(path)
        notes: list[str] = []
        graph = _exported(found, text, notes)
    notes.extend(_compared(found, graph, text))
    save_model(graph, out)
    return tuple(notes)


def _parts(source: str) -> tuple[Path, str]:
    """Return file and function name ("" for an archive)."""
    head, colon, tail = source.rpartition(":")
    if colon and head.lower().endswith(".py"):
        return Path(head), tail
    if source.lower().endswith(".pt2"):
        return Path(source), ""
    raise BadInputError(
        "can't import this",
        where=source,
        expected="a torch.export archive (.pt2) or a Python factory (file.py:function)",
        action="Export the model with torch.export.save, or write a function that returns it.",
    )


def _from_archive(path: Path) -> _Source:
    try:
        program = torch.export.load(path)
    except Exception as error:  # the archive may raise anything: it is foreign
        raise ModelFileError(
            f"it can't be read as a torch.export archive: {_first_line(error)}",
            where=str(path),
            action=f"Save it again with torch.export.save (this is torch {torch.__version__}).",
        ) from error
    arguments, _ = program.example_inputs or ((), {})
    return _Source(program, tuple(arguments))


def _from_factory(path: Path, function: str) -> _Source:
    name = f"workbench_imported_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
        factory = getattr(module, function, None)
        if not callable(factory):
            raise BadInputError(f"there is no function {function!r}", where=str(path), action="Check the name.")
        returned = factory()
    except BadInputError:
        raise
    except Exception as error:  # foreign code may raise anything
        raise BadInputError(
            f"{function}() failed: {_first_line(error)}", where=str(path), action="Run it in Python to see why."
        ) from error
    finally:
        sys.path.remove(str(path.parent))
    model, example = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, None)
    if example is None:
        example = getattr(model, "example_inputs", None)
    if not isinstance(model, nn.Module) or example is None:
        raise BadInputError(
            f"{function}() returned something else",
            where=str(path),
            expected="(module, example inputs)",
            found=type(model).__name__ if not isinstance(model, nn.Module) else "a module without example inputs",
            action="Return the module and a tensor (or a tuple of tensors) that it takes.",
        )
    return _Source(model.eval(), _as_arguments(example))


def _as_arguments(example: Any) -> tuple[Any, ...]:
    if isinstance(example, Mapping):
        return tuple(example.values())
    return tuple(example) if isinstance(example, Sequence) else (example,)


def _exported(found: _Source, where: str, notes: list[str]) -> ModelGraph:
    try:
        program = _export(found, notes)
    except Exception as error:  # the exporter raises whatever the model's own code raises
        raise JobError(
            f"torch can't export the model: {_first_line(error)}",
            where=where,
            action="Simplify the model's forward, or export it to ONNX yourself.",
        ) from error
    with tempfile.TemporaryDirectory(prefix="workbench-import-") as folder:
        raw = Path(folder) / "model.onnx"
        program.save(str(raw))
        graph = fold_constants(open_model(raw))
        # Weights of the temporary file are mapped lazily; they are read before the file goes.
        return graph.with_initializers({})


def _export(found: _Source, notes: list[str]) -> torch.onnx.ONNXProgram:
    # Without the exporter's optimiser, which folds batch normalisation away; constants are folded afterwards.
    if isinstance(found.model, torch.export.ExportedProgram):
        program = torch.onnx.export(found.model, (), dynamo=True, optimize=False, verbose=False)
        return cast("torch.onnx.ONNXProgram", program)
    example = _doubled(found.example)
    sizes = {value.shape[0] for value in example if isinstance(value, Tensor) and value.dim()}
    if len(sizes) == 1:
        batch = tuple({0: "batch"} if isinstance(value, Tensor) and value.dim() else None for value in example)
        try:
            program = torch.onnx.export(
                found.model, example, dynamo=True, optimize=False, verbose=False, dynamic_shapes=batch
            )
            return cast("torch.onnx.ONNXProgram", program)
        except Exception as error:  # a model that fixes its batch is exported with that batch
            notes.append(f"The batch size is fixed, since the model does not export otherwise: {_first_line(error)}")
    program = torch.onnx.export(found.model, found.example, dynamo=True, optimize=False, verbose=False)
    return cast("torch.onnx.ONNXProgram", program)


def _doubled(example: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the example with a batch of two where it is one, since torch takes a size of one for a constant."""
    tensors = [value for value in example if isinstance(value, Tensor) and value.dim()]
    if not tensors or any(value.shape[0] != 1 for value in tensors):
        return example
    return tuple(torch.cat([value, value]) if isinstance(value, Tensor) and value.dim() else value for value in example)


def _compared(found: _Source, graph: ModelGraph, where: str) -> list[str]:
    """Return a note of the agreement; JobError where the two differ."""
    tensors = [value for value in found.example if isinstance(value, Tensor)]
    if unsupported(graph) or len(tensors) != len(graph.inputs):
        return ["The exported graph could not be compared with the torch model."]
    model = found.model.module() if isinstance(found.model, torch.export.ExportedProgram) else found.model
    module = GraphModule(graph, trainable=False)
    fed = module.feed({info.name: value.detach().numpy() for info, value in zip(graph.inputs, tensors, strict=True)})
    with torch.no_grad():
        expected = [value for value in _flat(model(*found.example)) if isinstance(value, Tensor)]
        results = list(module(fed).values())
    worst = 0.0
    for wanted, result in zip(expected, results, strict=False):
        scale = float(wanted.abs().max()) + 1e-12
        worst = max(worst, float((wanted.float() - result.float()).abs().max()) / scale)
    if worst > _AGREEMENT:
        raise JobError(
            "the exported graph gives other outputs than the torch model",
            where=where,
            expected=f"a difference below {_AGREEMENT:g} of the output's scale",
            found=f"{worst:.2g}",
            action="Check the model for randomness or state that changes from call to call.",
        )
    return [f"Agrees with the torch model on its example: largest difference {worst:.1g} of the output's scale."]


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [item for entry in value.values() for item in _flat(entry)]
    if isinstance(value, (tuple, list)):
        return [item for entry in value for item in _flat(entry)]
    return [value]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's chatter, which tells failures a second time, out of results and logs."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(cast("TextIO", sys.stderr)):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
