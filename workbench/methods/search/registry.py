"""The strategies that plugins brought, by name."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from workbench.data.yaml_text import one_line
from workbench.domain.errors import PluginError, RecipeError, WorkbenchError
from workbench.domain.study import StrategyChoice
from workbench.methods.search.strategy import Strategy

_STRATEGIES: dict[str, tuple[type[Strategy], str]] = {}


@dataclass(frozen=True)
class OfferedStrategy:
    """A strategy with the plugin that brought it."""

    strategy: type[Strategy]
    plugin: str


def register_strategy(strategy: type[Strategy], plugin: str) -> None:
    """Add a strategy; one of the same plugin takes its own earlier place.

    Raises:
        PluginError: another plugin has its name.
    """
    known = _STRATEGIES.get(strategy.name)
    if known is not None and known[1] != plugin:
        raise PluginError(
            f"strategy {strategy.name!r} exists already", where=plugin, found=f"it in plugin {known[1]!r}"
        )
    _STRATEGIES[strategy.name] = (strategy, plugin)


def strategies() -> tuple[OfferedStrategy, ...]:
    """Return all strategies."""
    return tuple(OfferedStrategy(strategy, plugin) for strategy, plugin in _STRATEGIES.values())


def make_strategy(choice: StrategyChoice) -> Strategy:
    """Return a study's strategy.

    Raises:
        RecipeError: there is none of that name, or a parameter is unknown or out of range.
        PluginError: it can't be made; names plugin and strategy.
    """
    if choice.name not in _STRATEGIES:
        raise RecipeError(
            f"unknown strategy {choice.name!r}",
            where="strategy",
            expected="one of " + (", ".join(sorted(_STRATEGIES)) or "those of plugins, but none is loaded"),
        )
    strategy, plugin = _STRATEGIES[choice.name]
    try:
        return strategy(strategy.Parameters.model_validate(choice.parameters))
    except ValidationError as fault:
        raise one_line(fault, RecipeError, f"strategy.parameters ({choice.name})") from fault
    except WorkbenchError:
        raise
    except Exception as fault:  # the border to foreign code: anything may come
        raise PluginError(
            f"strategy {choice.name!r} can't take its parameters: {type(fault).__name__}: {fault}",
            where=f"plugin {plugin!r}",
        ) from fault
