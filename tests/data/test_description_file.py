"""DATA.yaml survives reading and writing, and its faults become one line."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from workbench.data.description_file import read_data_description, write_data_description
from workbench.domain.data_description import Crop, DataDescription, Preprocess, Split
from workbench.domain.errors import DataError, StorageError

CONTRACT = """
task: classification            # or regression, segmentation, language, outputs
metric: top1
train: {reader: npz, path: cifar10/train.npz, inputs: x, targets: y}
test:  {reader: npz, path: cifar10/test.npz,  inputs: x, targets: y}
preprocess: {scale: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: NHWC->NCHW}
augment: [flip, {crop: 4}]      # training only
"""


def test_reads_the_contract(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(CONTRACT)
    assert read_data_description(tmp_path / "data.yaml") == DataDescription(
        train=Split(reader="npz", path="cifar10/train.npz", inputs="x", targets="y"),
        test=Split(reader="npz", path="cifar10/test.npz", inputs="x", targets="y"),
        preprocess=Preprocess(scale=255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), layout="NHWC->NCHW"),
        augment=("flip", Crop(crop=4)),
        folder=str(tmp_path),
    )


@pytest.mark.parametrize("target", ["copy.yaml", "elsewhere/copy.yaml"])
def test_written_and_read_again_is_the_same(tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data.yaml").write_text(CONTRACT + "options: {peak: 1.0e-3, names: ['no', '2:4', '1e-3']}\n")
    first = read_data_description(tmp_path / "data.yaml")
    write_data_description(first, tmp_path / target)
    assert read_data_description(tmp_path / target) == first
    assert first.options == {"peak": 0.001, "names": ["no", "2:4", "1e-3"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("task: [", r"data\.yaml line \d.*not valid YAML"),
        ("", "not a mapping.*empty file"),
        ("- a", "not a mapping.*list"),
        ("tasc: classification", r"data\.yaml: tasc: there is no such key"),
        ("task: sorting", r"data\.yaml: task: .*'classification'.*Found 'sorting'"),
        ("test: {path: x}", r"data\.yaml: test\.reader: the key is missing"),
        ("preprocess: {scale: -1}", r"preprocess\.scale: .*greater than 0.*Found -1"),
        ("preprocess: {layout: NHWC}", r"preprocess\.layout: .*NHWC->NCHW"),
        ("augment: [{crop: 0}]", r"augment\.0\.crop: .*greater than or equal to 1"),
        ("metric: top1\nmetric: top5", "'metric' stands twice"),
        ("? [metric]\n: top1", r"line 1: .*not valid YAML. Found a key that is a list or mapping"),
        ("1: top1", r"has a key that is not text. Found 1"),
        ("options: {a: " + "9" * 5000 + "}", "Found a number of 5000 digits"),
        ("options: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("augment: flip", "augment: the value does not fit. Expected a list. Found 'flip'"),
        ("preprocess: 3", "preprocess: the value does not fit. Expected a mapping of keys to values. Found 3"),
        ("options: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_faults_become_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_data_description(tmp_path / "data.yaml")
    assert "\n" not in str(caught.value)


def test_missing_and_unwritable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data description"):
        read_data_description(tmp_path / "none.yaml")
    with pytest.raises(StorageError, match="can't be written"):
        write_data_description(DataDescription(), tmp_path / "none" / "data.yaml")


def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.yaml"
    write_data_description(DataDescription(metric="top5"), path)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StorageError, match=r"can't be written\. Found No space left on device"):
        write_data_description(DataDescription(metric="top1"), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.yaml"]
    assert read_data_description(path).metric == "top5"


def test_the_task_has_its_usual_metric(tmp_path: Path) -> None:
    for task, metric in (("language", "perplexity"), ("outputs", "sqnr"), ("classification", "top1")):
        (tmp_path / "data.yaml").write_text(f"task: {task}")
        assert read_data_description(tmp_path / "data.yaml").metric == metric
    (tmp_path / "data.yaml").write_text("task: language\nmetric: top1")
    assert read_data_description(tmp_path / "data.yaml").metric == "top1"
