"""Kernels are timed once for every shape and device, and what is kept is used again."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.devices import Device, SshDevice, ThisComputer
from workbench.devices.kernel_book import KernelBook
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError, ModelFileError
from workbench.graph.kernel_graphs import KernelShape, kernel_forms, kernel_graph
from workbench.graph.model import ModelGraph

SMALL = KernelShape("Gemm", (1, 16), (8, 16), 1, True, (("transB", 1),))
LARGE = KernelShape("Gemm", (1, 2048), (2048, 2048), 1, True, (("transB", 1),))


def test_large_kernels_take_longer_and_times_are_kept(tmp_path: Path) -> None:
    book = KernelBook(tmp_path, threads=1)
    found = book.times({"a": SMALL, "b": LARGE, "c": SMALL})
    assert found["a"] == found["c"]
    for small, large in zip(found["a"], found["b"], strict=True):
        assert small.form == large.form
        assert small.ci95[0] <= small.microseconds <= small.ci95[1]
        assert small.microseconds < large.microseconds
    assert [entry.form for entry in found["a"]] == list(kernel_forms(SMALL))
    assert KernelBook(tmp_path, threads=1).times({"b": LARGE}) == {"b": found["b"]}
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_other_threads_are_another_device(tmp_path: Path) -> None:
    KernelBook(tmp_path, threads=1).times({"a": SMALL})
    KernelBook(tmp_path, threads=2).times({"a": SMALL})
    assert len(list(tmp_path.glob("*.json"))) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"x": {"float32": ["a"]}}'])
def test_a_spoilt_file_is_made_again(text: str, tmp_path: Path) -> None:
    KernelBook(tmp_path, threads=1).times({"a": SMALL})
    (path,) = tmp_path.glob("*.json")
    path.write_text(text)
    found = KernelBook(tmp_path, threads=1).times({"a": SMALL})
    assert KernelBook(tmp_path, threads=1).times({"a": SMALL}) == found


def test_without_a_folder_nothing_is_kept_and_cancel_is_heard(tmp_path: Path) -> None:
    assert KernelBook(None, threads=1).times({"a": SMALL})["a"]
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        KernelBook(tmp_path, threads=1).times({"a": SMALL}, cancel=cancel)


def test_kernels_of_another_device_are_timed_there_and_kept_apart(settings, tmp_path: Path) -> None:
    device = SshDevice(settings())
    book = KernelBook(tmp_path / "book", threads=1, device=device)
    found = book.times({"a": SMALL, "b": LARGE})
    assert [entry.form for entry in found["a"]] == list(kernel_forms(SMALL))
    for small, large in zip(found["a"], found["b"], strict=True):
        assert small.microseconds < large.microseconds
        assert large.ci95[0] <= large.microseconds <= large.ci95[1]
    KernelBook(tmp_path / "book", threads=1).times({"a": SMALL})
    assert len(list((tmp_path / "book").glob("*.json"))) == 2
    assert KernelBook(tmp_path / "book", threads=1, device=device).times({"b": LARGE}) == {"b": found["b"]}


def of_tomorrow(graph: ModelGraph) -> ModelGraph:
    """The same with operators that no runtime has yet."""
    model = graph.edit()
    for node in model.graph:
        node.op_type += "OfTomorrow"
        node.domain = "com.microsoft"
    model.opset_imports["com.microsoft"] = 1
    return graph.edited(model)


@pytest.mark.parametrize("remote", [False, True])
def test_a_kernel_that_the_runtime_refuses_costs_no_other(remote: bool, settings, tmp_path: Path) -> None:
    device: Device = SshDevice(settings()) if remote else ThisComputer()
    plain, integers = (kernel_graph(SMALL, form) for form in ("float32", "uint8"))
    ((first, none, third),) = device.time_kernels([[plain, of_tomorrow(plain), integers]], count=1, seconds=0.05)
    assert none is None
    assert first is not None
    assert third is not None
    with pytest.raises(ModelFileError):
        list(device.time_kernels([[of_tomorrow(plain)]], count=1, seconds=0.05))


class Yesterday(ThisComputer):
    """A computer whose runtime knows no packed weights."""

    def time_kernels(self, groups, **rest):
        older = (
            [of_tomorrow(g) if "MatMulNBits" in {n.op for n in g.nodes} else g for g in graphs] for graphs in groups
        )
        return super().time_kernels(older, **rest)


def test_forms_that_the_device_lacks_are_left_out_and_remembered_so(tmp_path: Path) -> None:
    found = KernelBook(tmp_path, threads=1, device=Yesterday()).times({"a": LARGE})["a"]
    assert [entry.form for entry in found] == ["float32", "uint8", "int8"]
    assert set(kernel_forms(LARGE)) - {entry.form for entry in found} == {"packed8", "packed4"}
    assert KernelBook(tmp_path, threads=1, device=Yesterday()).times({"a": LARGE})["a"] == found
