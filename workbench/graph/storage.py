"""Models as files: opened lazily, checked at the door, hashed, and saved so that a crash leaves old file or new."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir import external_data, serde

from workbench.domain.errors import ModelFileError, StorageError
from workbench.graph.check import check, unsupported_operators
from workbench.graph.file_checks import check_header, check_stored_data, external_files, parse
from workbench.graph.model import ModelGraph
from workbench.graph.passes.upgrade_opset import upgrade_opset
from workbench.graph.repairs import repair_model, repair_proto

__all__ = [
    "check",
    "model_sha256",
    "model_size_bytes",
    "open_model",
    "save_model",
    "unsupported_operators",
    "upgrade_opset",
]

_CHUNK_BYTES = 1 << 22
_INLINE_LIMIT_BYTES = 1_900_000_000
_EXTERNAL_FROM_BYTES = 1024
_ALIGNMENT_BYTES = 4096


def open_model(path: str | os.PathLike[str]) -> ModelGraph:
    """Open an ONNX file; external data is mapped into memory only where it is read.

    In memory (never in the file) model-local functions are inlined, weights that are also listed as inputs become
    plain weights, and nodes without a name get one from their operator and first output. Operators that no runtime
    here has are accepted and named by `unsupported_operators`.

    Raises:
        ModelFileError: it is not an ONNX file, damaged, empty, of an opset below 7 or without one, its external data
            is missing, too short or outside its folder, or it is not a valid graph; the message says which.
        UnsupportedGraphError: functions that can't be inlined, or sparse weights.
    """
    file = Path(path)
    where = str(file)
    proto = parse(file)
    check_header(proto, where)
    check_stored_data(proto, file.parent, where)
    notes = repair_proto(proto, where)
    try:
        model = serde.deserialize_model(proto)
    except serde.SerdeError as error:
        cause = error.__cause__ or error
        raise ModelFileError(f"is not a valid graph: {cause}", where=where, action="Export it again.") from error
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        external_data.set_base_dir(graph, file.parent.absolute())
    notes.extend(repair_model(model, where))
    return ModelGraph(model, source=where, notes=notes)


def model_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of the file followed by its external data files in the order of their names.

    Raises:
        ModelFileError: the file can't be read.
    """
    file = Path(path)
    digest = hashlib.sha256()
    for part in model_files(file):
        try:
            with open(part, "rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except OSError as error:
            raise ModelFileError(f"can't be read: {error.strerror or error}", where=str(part)) from error
    return digest.hexdigest()


def model_size_bytes(path: str | os.PathLike[str]) -> int:
    """Return the size of the file and its external data files together.

    Raises:
        ModelFileError: the file can't be read.
    """
    return sum(part.stat().st_size for part in model_files(Path(path)))


def model_files(file: Path) -> tuple[Path, ...]:
    """Return the file and its external data files in the order of their names.

    Raises:
        ModelFileError: the file can't be read, or one of its data files is missing or cut short.
    """
    proto = parse(file)
    check_stored_data(proto, file.parent, str(file))
    return (file, *(file.parent / location for location in external_files(proto)))


def save_model(graph: ModelGraph, path: str | os.PathLike[str]) -> None:
    """Write the graph to `path` at once or not at all; more than 2 GB of weights go to `<name>.data` beside it.

    Raises:
        StorageError: the folder is missing, read-only or full; nothing is left behind and an old file stays.
    """
    file = Path(path)
    mark = secrets.token_hex(4)
    temporary = file.with_name(f".{file.name}.{mark}.tmp")
    data = file.with_name(file.name + ".data")
    temporary_data = file.with_name(f".{data.name}.{mark}.tmp")
    try:
        if graph.weight_bytes > _INLINE_LIMIT_BYTES:
            _write_data(graph, temporary_data, data.name, temporary)
            os.replace(temporary_data, data)
        else:
            _write(temporary, graph.to_bytes())
        os.replace(temporary, file)
        _sync_folder(file.parent)
    except OSError as error:
        raise _storage_error(file, error) from error
    finally:
        for leftover in (temporary, temporary_data):
            if leftover.exists():
                leftover.unlink()


def _write(path: Path, content: bytes) -> None:
    with open(path, "xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _write_data(graph: ModelGraph, data: Path, location: str, structure: Path) -> None:
    """Write big weights one after another to `data`, and a structure that refers to them as `location`."""
    model = graph.edit()
    with open(data, "xb") as stream:
        for body in model.graphs():
            for value in body.initializers.values():
                tensor = value.const_value
                if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.nbytes < _EXTERNAL_FROM_BYTES:
                    continue
                stream.seek(-(-stream.tell() // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES)
                offset = stream.tell()
                # Maps a file that is about to be replaced by this one, so that the graph stays readable.
                tensor.numpy()
                if isinstance(tensor, ir.ExternalTensor):
                    tensor.tofile(stream)
                else:
                    stream.write(tensor.tobytes())
                value.const_value = ir.ExternalTensor(
                    location,
                    offset,
                    tensor.nbytes,
                    tensor.dtype,
                    shape=ir.Shape(tensor.shape.numpy()),
                    name=value.name or "",
                )
        stream.flush()
        os.fsync(stream.fileno())
    proto: onnx.ModelProto = ir.to_proto(model)
    _write(structure, proto.SerializeToString(deterministic=True))


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself survive a power cut, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _storage_error(file: Path, error: OSError) -> StorageError:
    folder = str(file.parent.absolute())
    advice = {
        errno.ENOSPC: ("the disk is full", "Free some space or choose another folder."),
        errno.EDQUOT: ("the disk quota is used up", "Free some space or choose another folder."),
        errno.EFBIG: ("the file is larger than the disk or your limit allows", "Choose another folder."),
        errno.EROFS: ("the folder is read-only", "Choose a folder that you can write to."),
        errno.EACCES: ("you have no permission to write there", "Choose a folder that you can write to."),
        errno.EPERM: ("you have no permission to write there", "Choose a folder that you can write to."),
        errno.ENOENT: ("the folder does not exist", "Create it or choose another one."),
        errno.ENOTDIR: ("its folder is not a folder", "Choose another one."),
        errno.EISDIR: ("a folder of that name is in the way", "Choose another name."),
    }
    reason, action = advice.get(error.errno or 0, (error.strerror or str(error), "Choose another folder."))
    return StorageError(f"can't write {file.name!r} into {folder!r}: {reason}; nothing was changed", action=action)
