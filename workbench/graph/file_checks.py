"""Says what is wrong with a model file before anything uses it: what it is instead, where it ends, what it lacks.

The protobuf parser only says "failed"; these checks read just enough of the bytes to name the fault.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from workbench.domain.errors import ModelFileError

_COPY_AGAIN = "Export or copy it again."
_GRAPH_FIELD = 7
_OPSET_FIELD = 8

# First bytes of files that people mistake for ONNX, and what to say of them.
_LOOKALIKES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, the model itself was not fetched"),
    (b"PK\x03\x04", "a zip archive (a PyTorch checkpoint or .pt2 export looks like that)"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"{", "a JSON text"),
)


def parse(path: Path) -> onnx.ModelProto:
    """Return the message in the file, external data left where it is.

    Raises:
        ModelFileError: it can't be read, is no ONNX file, or ends too early.
    """
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or device would be read for ever
        raise ModelFileError("is not a file", where=str(path), expected="an .onnx file")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError("there is no such file", where=str(path), action="Check the path.") from error
    except IsADirectoryError as error:
        raise ModelFileError("is a folder", where=str(path), expected="an .onnx file") from error
    except OSError as error:
        raise ModelFileError(f"can't be read: {error.strerror or error}", where=str(path)) from error
    if not content:
        raise ModelFileError("is empty (0 bytes)", where=str(path), expected="an ONNX file", action=_COPY_AGAIN)
    for start, what in _LOOKALIKES:
        if content.startswith(start):
            raise ModelFileError("is not an ONNX file", where=str(path), found=what)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception as error:  # the parser's own exception class depends on the protobuf build in use
        raise _damage(path, content) from error
    if not proto.HasField("graph") and proto.ir_version == 0:
        raise ModelFileError("is not an ONNX file", where=str(path), expected="a model with a graph")
    return proto


def _damage(path: Path, content: bytes) -> ModelFileError:
    """Return the error for bytes that do not parse: truncated where the graph says it should be longer."""
    total = len(content)
    fields: list[int] = []
    position = 0
    while position < total:
        key, position = _varint(content, position)
        if key is None:
            break
        field, wire = key >> 3, key & 7
        if not 1 <= field <= 30 or wire not in (0, 2):
            break
        fields.append(field)
        size, position = _varint(content, position)
        if size is None:
            break
        if wire == 2:
            position += size
            if position > total and (field == _GRAPH_FIELD or 1 in fields):
                return ModelFileError(
                    f"it ends after {_megabytes(total, position)} of {_megabytes(position, position)} MB",
                    where=str(path),
                    action=_COPY_AGAIN,
                )
    if _GRAPH_FIELD in fields:
        return ModelFileError("the file is damaged: its graph can't be read", where=str(path), action=_COPY_AGAIN)
    return ModelFileError("is not an ONNX file", where=str(path), expected="a file written by an ONNX exporter")


def _varint(content: bytes, position: int) -> tuple[int | None, int]:
    value = shift = 0
    while position < len(content) and shift < 64:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return None, position


def _megabytes(size: int, whole: int) -> str:
    return f"{size / 1e6:.1f}" if whole >= 1e6 else f"{size / 1e6:.4f}"


def check_header(proto: onnx.ModelProto, where: str) -> None:
    """Refuse a model without operators or opset imports, or of an opset below 7.

    Raises:
        ModelFileError: names what is missing.
    """
    if not proto.opset_import:
        raise ModelFileError(
            "it names no operator set (opset import), so its operators have no defined meaning",
            where=where,
            action="Export it again with an exporter that writes the opset version.",
        )
    if not proto.graph.node:
        raise ModelFileError("its graph is empty", where=where, expected="at least one operator")
    if not proto.graph.output:
        raise ModelFileError("its graph has no outputs", where=where, action="Export it again, with its outputs.")
    versions = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in proto.opset_import}
    standard = any(node.domain in ("", "ai.onnx") for node in proto.graph.node)
    if "" in versions and versions[""] < 7:
        raise ModelFileError(
            "its operator set is too old",
            where=where,
            expected="opset 7 or newer",
            found=f"opset {versions['']}",
            action="Convert it with onnx.version_converter or export it again.",
        )
    if standard and "" not in versions:
        raise ModelFileError("it uses standard operators but imports no standard opset", where=where)
    if versions.get("", 0) > onnx.defs.onnx_opset_version():
        raise ModelFileError(
            "its operator set is newer than this program knows",
            where=where,
            expected=f"opset {onnx.defs.onnx_opset_version()} or older",
            found=f"opset {versions['']}",
            action="Update the onnx package or export with an older opset.",
        )


def tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every stored tensor, those in attributes, subgraphs and model-local functions included."""
    yield from _in_graph(proto.graph)
    for function in proto.functions:
        yield from _in_nodes(function.node)


def _in_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _in_nodes(graph.node)


def _in_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _in_graph(attribute.g)
            for body in attribute.graphs:
                yield from _in_graph(body)


def external_files(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Return the locations of all external data files, sorted."""
    return tuple(sorted({_entries(tensor).get("location", "") for tensor in tensors(proto) if _external(tensor)}))


def _external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _entries(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def check_stored_data(proto: onnx.ModelProto, folder: Path, where: str) -> None:
    """Refuse data that does not fit its shape, or external data that is missing or lies outside the model's folder.

    Raises:
        ModelFileError: names tensor and file.
    """
    sizes: dict[str, int] = {}
    for tensor in tensors(proto):
        if not _external(tensor):
            _check_raw_size(tensor, where)
            continue
        entries = _entries(tensor)
        location = entries.get("location", "")
        if location not in sizes:
            sizes[location] = _external_size(location, folder, tensor.name, where)
        needed = _needed_bytes(tensor, where)
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", needed) or needed)
        except ValueError as error:
            raise ModelFileError(
                f"weight {tensor.name!r} has an offset or length in {location!r} that is not a number", where=where
            ) from error
        if offset < 0 or length != needed:
            raise ModelFileError(
                f"weight {tensor.name!r} does not fit its place in {location!r}",
                where=where,
                expected=f"{needed} bytes for shape {tuple(tensor.dims)}",
                found=f"{length} bytes at offset {offset}",
                action=_COPY_AGAIN,
            )
        if offset + length > sizes[location]:
            raise ModelFileError(
                f"external data file {location!r} is too short for weight {tensor.name!r}",
                where=where,
                expected=f"{offset + length} bytes",
                found=f"{sizes[location]} bytes",
                action="Copy the data file again.",
            )


def _check_raw_size(tensor: onnx.TensorProto, where: str) -> None:
    """Refuse a shape that promises more than there is before anyone makes room for it."""
    if tensor.data_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING) or any(d < 0 for d in tensor.dims):
        return  # onnx's checker has words for these
    needed, found = _needed_bytes(tensor, where), len(tensor.raw_data)
    lists = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    if needed != found and (found or (needed and not any(lists))):
        raise ModelFileError(
            f"the data of weight {tensor.name!r} does not fit its shape",
            where=where,
            expected=f"{needed} bytes for shape {tuple(tensor.dims)}",
            found=f"{found} bytes",
            action=_COPY_AGAIN,
        )


def _needed_bytes(tensor: onnx.TensorProto, where: str) -> int:
    try:
        bits = _bits(tensor.data_type)
    except (ValueError, KeyError) as error:
        raise ModelFileError(
            f"weight {tensor.name!r} has an element type that does not exist",
            where=where,
            found=f"type {tensor.data_type}",
        ) from error
    return int((prod(tensor.dims) * bits + 7) // 8)


def _external_size(location: str, folder: Path, tensor: str, where: str) -> int:
    outside = ModelFileError(
        f"weight {tensor!r} lies outside the model's folder",
        where=where,
        found=f"external data path {location!r}",
        action="Put the data file beside the model and export it with a relative path.",
    )
    parts = PurePosixPath(location.replace("\\", "/")).parts
    if not location or ".." in parts or location.startswith("/") or PureWindowsPath(location).anchor:
        raise outside
    path = folder / location
    if not path.exists():
        raise ModelFileError(
            f"external data file {location!r} is missing",
            where=where,
            expected=f"it beside the model, for weight {tensor!r}",
            action="Copy the data file into the model's folder.",
        )
    if not path.resolve().is_relative_to(folder.resolve()):
        raise outside
    if not path.is_file():
        raise ModelFileError(f"external data {location!r} is not a file", where=where)
    status = os.stat(path)
    # onnx_ir refuses to map such a file (it could be another user's); say so at the door rather than in mid-run.
    if status.st_nlink > 1:
        raise ModelFileError(
            f"external data file {location!r} is a hard link, which is refused as unsafe",
            where=where,
            action="Make a plain copy of the data file.",
        )
    return status.st_size


def _bits(data_type: int) -> int:
    name = onnx.TensorProto.DataType.Name(data_type)
    for bits, marks in ((2, ("INT2",)), (4, ("INT4", "FLOAT4")), (6, ("FLOAT6",)), (8, ("FLOAT8",))):
        if any(mark in name for mark in marks):
            return bits
    return int(onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize) * 8
