"""Arrays of NumPy files by their headers: no array is loaded, nothing is unpickled, damage is named."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from workbench.data.dataset import open_split
from workbench.data.readers.array_headers import list_arrays
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.errors import DataError


def found(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {array.name: (array.dtype, array.shape) for array in list_arrays(path).arrays}


def test_archives_plain_and_packed(tmp_path):
    x, y = np.zeros((4, 8, 8, 3), np.uint8), np.arange(4)
    np.savez(tmp_path / "plain.npz", x=x, y=y)
    np.savez_compressed(tmp_path / "packed.npz", x=np.asfortranarray(x), y=y.astype(">i4"))
    assert found(tmp_path / "plain.npz") == {"x": ("uint8", (4, 8, 8, 3)), "y": ("int64", (4,))}
    assert found(tmp_path / "packed.npz") == {"x": ("uint8", (4, 8, 8, 3)), "y": ("int32", (4,))}


def test_a_large_array_is_not_loaded(tmp_path, monkeypatch):
    np.savez(tmp_path / "large.npz", x=np.zeros((4096, 512), np.float32))
    monkeypatch.setattr(np.lib.format, "read_array", lambda *a, **k: pytest.fail("an array was loaded"))
    assert found(tmp_path / "large.npz") == {"x": ("float32", (4096, 512))}


class Bomb:
    """Leaves a file where its pickle is loaded."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


def test_objects_are_listed_and_never_unpickled(tmp_path):
    trace = tmp_path / "trace"
    np.savez(tmp_path / "objects.npz", a=np.array([Bomb(trace)], object), y=np.arange(1))
    np.save(tmp_path / "lone.npy", np.array([Bomb(trace)], object))
    assert found(tmp_path / "objects.npz") == {"a": ("object", (1,)), "y": ("int64", (1,))}
    assert found(tmp_path / "lone.npy") == {"lone": ("object", (1,))}
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(DataError, match=r"raw\.npy is not a readable"):
        list_arrays(tmp_path / "raw.npy")
    assert not trace.exists()


def test_a_npy_file_stands_first_and_names_those_beside_it(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2), np.float32))
    np.save(tmp_path / "a.npy", np.arange(3))
    (tmp_path / "broken.npy").write_bytes(b"no")
    report = list_arrays(tmp_path / "x.npy")
    assert (report.itself, [array.name for array in report.arrays]) == ("x", ["x", "a"])
    folder = list_arrays(tmp_path)
    assert (folder.itself, [array.name for array in folder.arrays]) == (None, ["a", "x"])


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_what_is_no_archive_is_named(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"not a readable \.npz archive"):
        list_arrays(tmp_path / "data.npz")
    with pytest.raises(DataError, match="no such file"):
        list_arrays(tmp_path / "nowhere.npz")


def test_faults_advise_the_arrays_that_stand_out(tmp_path):
    np.savez(tmp_path / "t.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4), extra=np.arange(4))
    where = {"folder": str(tmp_path)}
    with pytest.raises(DataError, match=r"Add test\.inputs: images\."):
        open_split(DataDescription(test=Split(reader="npz", path="t.npz"), **where), "test")
    with pytest.raises(DataError, match=r"Add test\.targets: labels, or"):
        open_split(DataDescription(test=Split(reader="npz", path="t.npz", inputs="images"), **where), "test")
