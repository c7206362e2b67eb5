"""Every reader opens its kind of data, keeps the contract, and names what is wrong with a bad file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.data.readers._base import Reader, Request, Source
from workbench.data.readers.registry import reader_named, readers, register_reader
from workbench.domain.data_description import Split
from workbench.domain.errors import DataError, PluginError
from workbench.graph.model import ValueInfo

X = np.arange(6 * 4 * 5 * 3, dtype=np.uint8).reshape(6, 4, 5, 3)
Y = np.array([0, 1, 2, 0, 1, 2], np.int64)


@dataclass(frozen=True)
class Case:
    """Files of one reader's kind, the split that reads them, and what must come out."""

    write: Callable[[Path], None]
    split: dict[str, Any]
    inputs: np.ndarray | None
    targets: np.ndarray | None
    model_inputs: tuple[ValueInfo, ...] = ()


def write_idx(path: Path, array: np.ndarray) -> None:
    codes = {"u1": 0x08, "i4": 0x0C, "f4": 0x0D}
    big = array.astype(array.dtype.newbyteorder(">"))
    header = bytes([0, 0, codes[array.dtype.str[1:]], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as stream:
        stream.write(header + big.tobytes())


def write_images(root: Path) -> None:
    for index, image in enumerate(X):
        folder = root / "images" / f"class{Y[index]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index}.png")


def write_csv(root: Path) -> None:
    write_images(root)
    lines = [f"images/class{label}/{index}.png,class{label}" for index, label in enumerate(Y)]
    (root / "list.csv").write_text("\n".join(["file,label", *lines]))


BY_CLASS = np.argsort(Y, kind="stable")
CASES = {
    "npz": Case(
        lambda root: np.savez_compressed(root / "d.npz", x=X, y=Y),
        {"path": "d.npz", "inputs": "x", "targets": "y"},
        X,
        Y,
    ),
    "npy": Case(
        lambda root: (np.save(root / "x.npy", X), np.save(root / "y.npy", Y))[0],
        {"path": "x.npy", "targets": "y.npy"},
        X,
        Y,
    ),
    "idx": Case(
        lambda root: (write_idx(root / "x.gz", X), write_idx(root / "y.gz", Y.astype(np.uint8)))[0],
        {"path": "x.gz", "targets": "y.gz"},
        X,
        Y,
    ),
    "image_folder": Case(write_images, {"path": "images"}, X[BY_CLASS], Y[BY_CLASS]),
    "csv": Case(write_csv, {"path": "list.csv"}, X, Y),
    "text": Case(
        lambda root: (root / "t.txt").write_bytes(bytes(range(20))) and None,
        {"path": "t.txt", "length": 4},
        np.arange(16).reshape(4, 4),
        np.arange(1, 17).reshape(4, 4),
    ),
    "random": Case(
        lambda root: None,
        {"samples": 6},
        None,
        None,
        (ValueInfo("a", "float32", (None, 3, 4)), ValueInfo("b", "int64", ("n", 2))),
    ),
}


def opened(root: Path, reader: str, model_inputs: tuple[ValueInfo, ...] = (), **split: Any) -> Source:
    entry = Split(reader=reader, **split)
    keys = () if entry.inputs is None else (entry.inputs,) if isinstance(entry.inputs, str) else tuple(entry.inputs)
    request = Request(entry, "test", root, model_inputs=model_inputs, keys=keys)
    return reader_named(reader, "test").open(request)


def source_of(root: Path, name: str) -> Source:
    case = CASES[name]
    case.write(root)
    return opened(root, name, case.model_inputs, **case.split)


def test_every_reader_has_a_case() -> None:
    assert {reader.name for reader in readers()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
class TestCompliance:
    """What everything above the readers relies on."""

    def test_gives_the_samples_and_labels(self, tmp_path: Path, name: str) -> None:
        source, case = source_of(tmp_path, name), CASES[name]
        read = source.read(np.arange(len(source)))
        assert tuple(read) == source.keys
        assert all(len(array) == len(source) for array in read.values())
        if case.inputs is not None:
            np.testing.assert_array_equal(read[source.keys[0]], case.inputs)
        if case.targets is None:
            assert source.targets is None
        else:
            np.testing.assert_array_equal(source.targets, case.targets)

    def test_reads_any_order_and_repeats(self, tmp_path: Path, name: str) -> None:
        source = source_of(tmp_path, name)
        whole = source.read(np.arange(len(source)))
        picked = np.array([3, 0, 3])
        for key, array in source.read(picked).items():
            np.testing.assert_array_equal(array, whole[key][picked])

    def test_fingerprint_is_stable_and_follows_the_files(self, tmp_path: Path, name: str) -> None:
        source = source_of(tmp_path, name)
        assert source.fingerprint() == source_of(tmp_path, name).fingerprint() or source.files
        first = source.fingerprint()
        for path in source.files[:1]:
            path.write_bytes(path.read_bytes() + b"\0")
            assert source.fingerprint() != first

    def test_refuses_an_unknown_setting(self, tmp_path: Path, name: str) -> None:
        case = CASES[name]
        case.write(tmp_path)
        with pytest.raises(DataError, match=r"test\.nonsense.*not a setting"):
            opened(tmp_path, name, case.model_inputs, **case.split, nonsense=1)

    def test_names_a_missing_path(self, tmp_path: Path, name: str) -> None:
        if name == "random":
            pytest.skip("reads no files")
        with pytest.raises(DataError, match=r"nowhere.*does not exist"):
            opened(tmp_path, name, path="nowhere")
        with pytest.raises(DataError, match="needs a path"):
            opened(tmp_path, name)


def test_unknown_reader_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"unknown reader 'hdf5'.*npz.*random"):
        reader_named("hdf5", "test")


def test_a_plugin_can_not_take_a_known_name() -> None:
    class Other(Reader):
        name = "npz"
        title = "Other"

        def open(self, request: Request) -> Source:
            raise AssertionError

    with pytest.raises(PluginError, match="already taken"):
        register_reader(Other, "mine")


def test_plain_npz_members_are_mapped_and_compressed_ones_loaded_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", x=X, y=Y)
    np.savez_compressed(tmp_path / "packed.npz", x=X, y=Y)
    split = {"inputs": "x", "targets": "y"}
    plain = opened(tmp_path, "npz", path="plain.npz", **split)
    np.testing.assert_array_equal(plain.read(np.array([2, 3]))["x"], X[2:4])
    assert isinstance(plain.arrays["x"], np.memmap)  # type: ignore[attr-defined]
    packed = [opened(tmp_path, "npz", path="packed.npz", **split).arrays["x"] for _ in range(2)]  # type: ignore[attr-defined]
    assert packed[0] is packed[1]


def test_npz_names_what_is_wrong(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=Y[:4], words=np.array(["a"] * 6), empty=np.zeros((0, 2)))
    with pytest.raises(DataError, match=r"test\.inputs.*no array 'z'.*x, y"):
        opened(tmp_path, "npz", path="d.npz", inputs="z")
    with pytest.raises(DataError, match=r"test\.targets.*no array 'z'"):
        opened(tmp_path, "npz", path="d.npz", inputs="x", targets="z")
    with pytest.raises(DataError, match="not said which array"):
        opened(tmp_path, "npz", path="d.npz", targets="y")
    with pytest.raises(DataError, match=r"differ in length.*x: 6, targets: 4"):
        opened(tmp_path, "npz", path="d.npz", inputs="x", targets="y")
    with pytest.raises(DataError, match="Expected numbers"):
        opened(tmp_path, "npz", path="d.npz", inputs="words")
    with pytest.raises(DataError, match="'empty' is empty"):
        opened(tmp_path, "npz", path="d.npz", inputs="empty")


def test_truncated_files_are_named(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.random.default_rng(0).integers(0, 255, (50, 99), np.uint8))
    np.save(tmp_path / "x.npy", X)
    write_idx(tmp_path / "x.gz", X)
    write_idx(tmp_path / "x.idx", X)
    write_images(tmp_path)
    for name in ("d.npz", "x.npy", "x.gz", "x.idx"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        reader = {"d.npz": "npz", "x.npy": "npy"}.get(name, "idx")
        with pytest.raises(DataError, match=name):
            opened(tmp_path, reader, path=name)
    picture = tmp_path / "images" / "class0" / "0.png"
    picture.write_bytes(picture.read_bytes()[:40])
    with pytest.raises(DataError, match="decoded"):
        opened(tmp_path, "image_folder", path="images").read(np.arange(6))


def test_idx_refuses_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "x.idx").write_bytes(b"PNG and so on")
    with pytest.raises(DataError, match="not an IDX file"):
        opened(tmp_path, "idx", path="x.idx")


def test_idx_reads_fashion_mnist(shared: Path) -> None:
    source = opened(
        shared / "data" / "fashion_mnist", "idx", path="test-images-idx3-ubyte.gz", targets="test-labels-idx1-ubyte.gz"
    )
    assert source.read(np.arange(3))["x"].shape == (3, 28, 28)
    assert source.targets is not None
    assert sorted(np.unique(source.targets)) == list(range(10))


def test_images_of_several_sizes_need_resize(tmp_path: Path) -> None:
    write_images(tmp_path)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "images" / "class0" / "z.png")
    with pytest.raises(DataError, match=r"z\.png.*9×9.*preprocess\.resize"):
        opened(tmp_path, "image_folder", path="images").read(np.arange(7))
    request = Request(Split(reader="image_folder", path="images"), "test", tmp_path, resize=(6, 7))
    assert reader_named("image_folder", "test").open(request).read(np.arange(7))["image"].shape == (7, 6, 7, 3)


def test_csv_names_line_and_column(tmp_path: Path) -> None:
    write_csv(tmp_path)
    with pytest.raises(DataError, match=r"no column 'kind'.*file, label"):
        opened(tmp_path, "csv", path="list.csv", targets="kind")
    (tmp_path / "list.csv").write_text("file,label\nimages/none.png,1\n")
    with pytest.raises(DataError, match=r"none\.png does not exist"):
        opened(tmp_path, "csv", path="list.csv")
    (tmp_path / "list.csv").write_text("file,label\na,1,2\n")
    with pytest.raises(DataError, match="line 2 has 3 fields"):
        opened(tmp_path, "csv", path="list.csv")
    (tmp_path / "list.csv").write_text("file,label\n")
    with pytest.raises(DataError, match="lists no samples"):
        opened(tmp_path, "csv", path="list.csv")


def test_text_takes_a_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcab")
    (tmp_path / "v.json").write_text(json.dumps({"a": 5, "b": 6}))
    with pytest.raises(DataError, match="'c' is not in the vocabulary"):
        opened(tmp_path, "text", path="t.txt", vocabulary="v.json", length=2)
    (tmp_path / "v.json").write_text(json.dumps({"a": 5, "b": 6, "<unk>": 0}))
    source = opened(tmp_path, "text", path="t.txt", vocabulary="v.json", length=2)
    np.testing.assert_array_equal(source.read(np.arange(2))["tokens"], [[5, 6], [0, 5]])
    np.testing.assert_array_equal(source.targets, [[6, 0], [5, 6]])
    with pytest.raises(DataError, match="too short"):
        opened(tmp_path, "text", path="t.txt", length=5)


def test_random_needs_a_shape(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"shape of input 'x' is not known"):
        opened(tmp_path, "random")
    with pytest.raises(DataError, match=r"shape of input 'a'"):
        opened(tmp_path, "random", (ValueInfo("a", "float32", (None, 3, "h")),))
    assert opened(tmp_path, "random", shape=[3, 4]).read(np.arange(2))["x"].shape == (2, 3, 4)
