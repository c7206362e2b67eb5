"""Gives every layer one of its choices so that the sum of losses is least within a budget: integer programming.

Bit allocation (HAWQ-V3, Yao et al., 2021) and choices of ratios or ranks are the same problem, a multiple-choice
knapsack. Losses are taken to add up; how true that is shows when the result is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from workbench.domain.errors import RecipeError
from workbench.domain.knobs import Setting

# Relative; the solver proves that nothing is better by more.
_GAP = 1e-6
_SECONDS = 60.0


@dataclass(frozen=True)
class Choice:
    """One thing that a layer can become.

    Attributes:
        value: The setting.
        loss: What it costs in quality, 0 or more; any unit.
        cost: What it takes of the budget, in the budget's unit.
    """

    value: Setting
    loss: float
    cost: float


@dataclass(frozen=True)
class Trade:
    """What a step up or down from a layer's chosen setting would change: loss and cost, both signed."""

    value: Setting
    loss: float
    cost: float


@dataclass(frozen=True)
class Chosen:
    """What a layer got.

    Attributes:
        choice: The choice.
        dearer: The next dearer choice, or None.
        cheaper: The next cheaper choice, or None.
    """

    choice: Choice
    dearer: Trade | None
    cheaper: Trade | None


@dataclass(frozen=True)
class Allocation:
    """The best assignment.

    Attributes:
        layers: By layer, in the order given.
        loss: Sum of losses.
        cost: Sum of costs.
    """

    layers: Mapping[str, Chosen]
    loss: float
    cost: float


@dataclass(frozen=True)
class Tie:
    """Layers whose settings must agree in one respect.

    Attributes:
        layers: Their names.
        of: Returns that respect of a setting, such as the activation bits of both bits.
    """

    layers: frozenset[str]
    of: Callable[[Setting], Setting]


def allocate(
    choices: Mapping[str, Sequence[Choice]],
    budget: float,
    ties: Iterable[frozenset[str] | Tie] = (),
    *,
    written: Callable[[float], str] = "{:g}".format,
) -> Allocation:
    """Return the assignment of least loss whose cost is within the budget.

    Args:
        choices: By layer; a single choice pins it.
        budget: In the unit of the costs.
        ties: Sets of layers that must get equal values, or values that agree in one respect.
        written: Writes a cost as the user knows it, for messages.

    Raises:
        RecipeError: no assignment is within the budget (names the least that is), or tied layers share no value.
    """
    alike = tuple(tie if isinstance(tie, Tie) else Tie(tie, _itself) for tie in ties)
    tied = {layer for tie in alike for layer in tie.layers}
    # A layer that loses nothing by a cheaper choice takes that one, also where the budget would allow more.
    choices = {layer: offered if layer in tied else _useful(offered) for layer, offered in choices.items()}
    layers = list(choices)
    places = [(layer, index) for layer in layers for index in range(len(choices[layer]))]
    column = {place: number for number, place in enumerate(places)}
    costs = np.array([choices[layer][index].cost for layer, index in places], np.float64)
    losses = np.array([choices[layer][index].loss for layer, index in places], np.float64)
    rows = [[(column[layer, index], 1.0) for index in range(len(choices[layer]))] for layer in layers]
    wanted = [1.0] * len(layers)
    for first, second, of, value in _equal(choices, alike):
        row = [(column[first, index], 1.0) for index, choice in enumerate(choices[first]) if of(choice.value) == value]
        row += [
            (column[second, index], -1.0) for index, choice in enumerate(choices[second]) if of(choice.value) == value
        ]
        rows.append(row)
        wanted.append(0.0)
    exactly = LinearConstraint(_matrix(rows, len(places)), wanted, wanted)
    within = LinearConstraint(costs[None, :] / max(budget, 1e-300), -np.inf, 1.0 + 1e-9)
    objective = losses / max(float(np.abs(losses).max(initial=0.0)), 1e-300)
    found = _solved(objective, (exactly, within))
    if found is None:
        least = _solved(costs, (exactly,))
        if least is None:
            raise RecipeError(
                "layers that must be alike can't have equal settings", action="Give them the same choices, or pin them."
            )
        raise RecipeError(
            f"nothing is within the budget of {written(budget)}",
            found=f"at least {written(float(costs @ least))} with the choices given",
            action="Raise the budget, allow smaller choices, or pin fewer layers.",
        )
    chosen = {
        layer: int(np.argmax([found[column[layer, index]] for index in range(len(choices[layer]))])) for layer in layers
    }
    picked = np.zeros(len(places))
    picked[[column[layer, index] for layer, index in chosen.items()]] = 1.0
    return Allocation(
        {layer: _chosen(choices[layer], index) for layer, index in chosen.items()},
        float(losses @ picked),
        float(costs @ picked),
    )


def _useful(offered: Sequence[Choice]) -> list[Choice]:
    """Return the choices that no other one beats in both cost and loss."""
    return [
        choice
        for index, choice in enumerate(offered)
        if not any(
            other.cost <= choice.cost
            and other.loss <= choice.loss
            and ((other.cost, other.loss) != (choice.cost, choice.loss) or number < index)
            for number, other in enumerate(offered)
            if number != index
        )
    ]


def _itself(value: Setting) -> Setting:
    return value


def _equal(
    choices: Mapping[str, Sequence[Choice]], ties: Iterable[Tie]
) -> Iterable[tuple[str, str, Callable[[Setting], Setting], Setting]]:
    for tie in ties:
        members = sorted(layer for layer in tie.layers if layer in choices)
        for other in members[1:]:
            values = dict.fromkeys(tie.of(choice.value) for layer in (members[0], other) for choice in choices[layer])
            for value in values:
                yield members[0], other, tie.of, value


def _matrix(rows: Sequence[Sequence[tuple[int, float]]], columns: int) -> coo_array:
    entries = [(number, place, value) for number, row in enumerate(rows) for place, value in row]
    numbers, places, values = (np.array(part) for part in zip(*entries, strict=True))
    return coo_array((values, (numbers, places)), shape=(len(rows), columns))


def _solved(objective: np.ndarray, constraints: Sequence[LinearConstraint]) -> np.ndarray | None:
    result = milp(
        objective,
        integrality=np.ones(len(objective)),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": _GAP, "time_limit": _SECONDS},
    )
    return None if result.x is None else np.asarray(result.x)


def _chosen(choices: Sequence[Choice], index: int) -> Chosen:
    now = choices[index]

    def trade(others: Iterable[Choice], nearest: bool) -> Trade | None:
        ordered = sorted(others, key=lambda choice: choice.cost)
        if not ordered:
            return None
        other = ordered[0] if nearest else ordered[-1]
        return Trade(other.value, other.loss - now.loss, other.cost - now.cost)

    return Chosen(
        now,
        trade((choice for choice in choices if choice.cost > now.cost), True),
        trade((choice for choice in choices if choice.cost < now.cost), False),
    )
