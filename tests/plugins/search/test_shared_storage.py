"""Searches that share a storage learn from each other and build nothing twice; a storage that fails says so."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from tests.plugins.search.test_strategies import QUICK, World
from workbench.domain.errors import BadInputError, WorkbenchError
from workbench.domain.study import StrategyChoice
from workbench.methods.search.forecast import Result
from workbench.methods.search.registry import make_strategy
from workbench.methods.search.strategy import SearchTask
from workbench.worker.installed_methods import installed_methods


@pytest.fixture(scope="module", autouse=True)
def plugins() -> None:
    installed_methods()


def search(name: str, storage: str, count: int, seed: int) -> SearchTask:
    world = World()
    task = world.task(seed)
    strategy = make_strategy(StrategyChoice(name=name, parameters={**QUICK[name], "storage": storage}))
    strategy.begin(task)
    for _ in range(count):
        proposal = task.new(list(strategy.ask(4)))[0]
        task.spent.add(proposal)
        task.finished.append(Result(proposal, world.figures(proposal)))
        task.forecast.learn(task.finished, {}, {})
    strategy.ask(1)  # the last one is written before anything more is asked for
    return task


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
@pytest.mark.parametrize("kind", ["journal", "database"])
def test_two_searches_build_nothing_twice(name: str, kind: str, tmp_path: Path) -> None:
    storage = str(tmp_path / "shared.journal") if kind == "journal" else f"sqlite:///{tmp_path / 'shared.db'}"
    first = search(name, storage, 4, seed=0)
    second = search(name, storage, 3, seed=1)
    built = [result.proposal for task in (first, second) for result in task.finished]
    assert len(set(built)) == 7
    assert {result.proposal for result in first.finished} <= second.spent
    backend = (
        optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(storage))
        if kind == "journal"
        else storage
    )
    (told,) = optuna.get_all_study_summaries(backend)
    study = optuna.load_study(study_name=told.study_name, storage=backend)
    assert len(study.trials) == 7
    assert study.metric_names == ["drop", "latency"]
    # Anybody's tools can read what was chosen.
    assert study.trials[0].user_attrs["settings"]["l0"] == {"weight_bits": 8}


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_searches_at_the_same_time_hear_of_each_other(kind: str, tmp_path: Path) -> None:
    storage = str(tmp_path / "shared.journal") if kind == "journal" else f"sqlite:///{tmp_path / 'shared.db'}"
    world = World()
    tasks = [world.task(seed) for seed in (0, 1)]
    strategies = [
        make_strategy(StrategyChoice(name="tpe", parameters={**QUICK["tpe"], "storage": storage})) for _ in tasks
    ]
    for strategy, task in zip(strategies, tasks, strict=True):
        strategy.begin(task)
    for _ in range(3):
        for strategy, task in zip(strategies, tasks, strict=True):
            proposal = task.new(list(strategy.ask(4)))[0]
            task.spent.add(proposal)
            task.finished.append(Result(proposal, world.figures(proposal)))
            task.forecast.learn(task.finished, {}, {})
            strategy.ask(1)
    built = [result.proposal for task in tasks for result in task.finished]
    assert len(set(built)) == 6


def test_other_choices_or_objectives_are_another_study(tmp_path: Path) -> None:
    storage = str(tmp_path / "shared.journal")
    search("tpe", storage, 2, seed=0)
    task = World().task(0)
    task.costs = ("latency", "size")
    strategy = make_strategy(StrategyChoice(name="tpe", parameters={"storage": storage}))
    strategy.begin(task)
    strategy.ask(1)
    assert task.spent == {task.space.untouched}


@pytest.mark.parametrize("storage", ["{}/missing/shared.journal", "{}/damaged.journal", "nonsense://there"])
def test_a_storage_that_can_t_be_opened_is_named(storage: str, tmp_path: Path) -> None:
    (tmp_path / "damaged.journal").write_text('this is no journal\n{"op_code": 0}\n')
    strategy = make_strategy(StrategyChoice(name="tpe", parameters={"storage": storage.format(tmp_path)}))
    strategy.begin(World().task())
    with pytest.raises(BadInputError, match="shared storage") as caught:
        strategy.ask(1)
    assert isinstance(caught.value, WorkbenchError)
    assert "storage" in str(caught.value.where)
