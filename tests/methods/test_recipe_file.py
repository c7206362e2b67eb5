"""RECIPE.yaml survives reading and writing, embeds its data, and its faults become one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.domain.data_description import DataDescription, Split
from workbench.domain.errors import DataError, RecipeError, StorageError
from workbench.domain.plan import Plan
from workbench.domain.recipe import Evaluation, Recipe, Step
from workbench.methods.recipe_file import read_recipe, write_recipe

CONTRACT = """
version: 1
seed: 0
data: data.yaml
plan:
  default: {prune_ratio: 0.5, weight_bits: 8, activation_bits: 8}
  layers:
    "node_Conv_370": {prune_ratio: 0.0}
    "*fc*": {weight_bits: 16}               # glob, later lines win
steps:
  - {method: prune.l1}
  - {method: train.finetune, parameters: {epochs: 1, learning_rate: 1e-2}}
  - {method: quantize.ptq, parameters: {calibration_samples: 256}}
evaluate: {samples: all}
device: local
"""
DATA = "test: {reader: npz, path: d.npz, inputs: x, targets: y}\n"


def written(folder: Path, text: str = CONTRACT) -> Path:
    (folder / "data.yaml").write_text(DATA)
    (folder / "recipe.yaml").write_text(text)
    return folder / "recipe.yaml"


def test_reads_the_contract_with_its_data_embedded(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path))
    assert recipe.data == DataDescription(
        test=Split(reader="npz", path="d.npz", inputs="x", targets="y"), folder=str(tmp_path)
    )
    assert recipe.plan.layers == {"node_Conv_370": {"prune_ratio": 0.0}, "*fc*": {"weight_bits": 16}}
    assert recipe.steps[1].parameters == {"epochs": 1, "learning_rate": 0.01}
    assert recipe.evaluate == Evaluation(samples="all")


@pytest.mark.parametrize("target", ["again.yaml", "elsewhere/again.yaml"])
def test_written_and_read_again_is_the_same(tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    recipe = read_recipe(written(tmp_path))
    write_recipe(recipe, tmp_path / target)
    again = read_recipe(tmp_path / target)
    assert again == recipe
    assert again.sha256() == recipe.sha256()
    assert list(again.plan.layers) == list(recipe.plan.layers)


SETTINGS = st.one_of(
    st.integers(-5, 40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["2:4", "no", "1e3", "yes", "~", "null", "true", "0x1F", "1_000", "12:30", "=", "a: b", "#x", "é", ""]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028\u2029\ufeff"), max_size=8),
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.dictionaries(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=6), SETTINGS),
    parameters=st.dictionaries(
        st.sampled_from(["a", "b"]), st.one_of(SETTINGS, st.lists(SETTINGS, max_size=3), st.none())
    ),
    enabled=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_recipe_survives(
    tmp_path: Path, lines: dict[str, object], parameters: dict[str, object], enabled: bool, seed: int
) -> None:
    recipe = Recipe(
        seed=seed,
        plan=Plan(default={"k": 1}, layers={name: {"k": value} for name, value in lines.items()}),
        steps=(Step(method="m", parameters=parameters, enabled=enabled), Step(method="n")),
        evaluate=Evaluation(samples=7),
        device="pi",
    )
    write_recipe(recipe, tmp_path / "r.yaml")
    again = read_recipe(tmp_path / "r.yaml")
    assert again == recipe
    assert again.sha256() == recipe.sha256()


def test_words_and_patterns_need_no_quotes(tmp_path: Path) -> None:
    text = "version: 1\nplan: {default: {sparsity_pattern: 2:4, prune_ratio: 5e-1}}\n"
    assert read_recipe(written(tmp_path, text)).plan.default == {"sparsity_pattern": "2:4", "prune_ratio": 0.5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1", "recipe.yaml: version: the key is missing"),
        ("version: 2", r"version: .*Expected 1.*Found 2"),
        ("version: 1\nseed: -1", r"recipe.yaml: seed: .*greater than or equal to 0.*Found -1"),
        ("version: 1\nstep: []", "recipe.yaml: step: there is no such key"),
        ("version: 1\nsteps: [{parameters: {}}]", r"steps\.0\.method: the key is missing"),
        ("version: 1\nsteps: [{method: a, parameter: {}}]", r"steps\.0\.parameter: there is no such key"),
        ("version: 1\nplan: {layers: {a: 3}}", r"plan\.layers\.a: .*mapping.*Found 3"),
        ("version: 1\nplan: {layers: {a: {k: [1]}}}", r"plan\.layers\.a\.k: .*Found \[1\]"),
        ("version: 1\nevaluate: {samples: some}", r"evaluate\.samples: .*Found 'some'"),
        ("version: 1\nplan: {layers: {a: {k: 1}, a: {k: 2}}}", "line 2.*'a' stands twice"),
        ("version: 1\n\tseed: 1", r"line 2.*not valid YAML"),
    ],
)
def test_faults_become_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        read_recipe(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_faults_of_the_data_are_named_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data description"):
        read_recipe(written(tmp_path, "version: 1\ndata: none.yaml"))
    with pytest.raises(DataError, match=r"recipe\.yaml: data: tusk: there is no such key"):
        read_recipe(written(tmp_path, "version: 1\ndata: {tusk: a}"))
    with pytest.raises(StorageError):
        write_recipe(Recipe(), tmp_path / "none" / "recipe.yaml")
