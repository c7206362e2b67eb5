"""Foretells drop and costs of any proposal, and learns from every structure that was timed and candidate that finished.

Notation: n columns, one for every choice that differs from the base; m proposals; d objectives, the drop first. Effects
add up (`belief`); what a structure saves is taken in proportion to what its precision leaves of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.domain.knobs import WEIGHT_BITS
from workbench.domain.measurements import Ratio
from workbench.domain.search_reports import Estimate, Foretold
from workbench.domain.study import Cost
from workbench.methods.search.belief import AdditiveBelief, Prior
from workbench.methods.search.drops import Drops
from workbench.methods.search.objectives import Figures
from workbench.methods.search.space import Proposal, Space

_Z = 1.96
# Of a drop without training, what is left after a brief one: measured on ResNet-20 between a twentieth and a quarter.
_LEFT_BY_TRAINING, _LEFT_DEVIATION = 0.12, 0.6
# Foretold drops that add up to this share of one that matters come out twice as large.
_KNEE = 0.4
# A stand-in's time against the file's: see the benchmark of predictions.
_STAND_IN_ERROR = 0.02
# What is counted is exact, but for memory, which the runtime shares out as it likes.
_COUNTING_ERROR = {"memory": 0.1}


@dataclass(frozen=True)
class Known:
    """What is known before anything is built.

    Attributes:
        base: The proposal that savings are counted from.
        costs: The base's shares of the original's costs.
        savings: By cost, what each choice saves of the original's (dimension, choice); missing ones save nothing.
        drops: By choice, without training.
        trains: Whether structural choices are trained.
        unit: A drop that matters, for what is not known.
    """

    base: Proposal
    costs: Mapping[str, float]
    savings: Mapping[str, Mapping[tuple[int, int], float]]
    drops: Drops
    trains: bool
    unit: float


@dataclass(frozen=True)
class Result:
    """A finished candidate as the forecast learns from it."""

    proposal: Proposal
    figures: Figures


class Forecast:
    """Foretells proposals of one space.

    Args:
        space: Of the study.
        costs: Objectives besides the metric, and what else is budgeted.
        known: Before anything is built.
    """

    def __init__(self, space: Space, costs: Sequence[Cost], known: Known) -> None:
        self.space, self.costs, self.known = space, tuple(costs), known
        self.columns = tuple(
            (place, choice)
            for place, dimension in enumerate(space.dimensions)
            for choice in range(len(dimension.choices))
            if choice != known.base[place]
        )
        self._place = {column: number for number, column in enumerate(self.columns)}
        self._precision = np.array([space.dimensions[place].precision for place, _ in self.columns], bool)
        self._drop_prior = AdditiveBelief(self._prior_of_drops())
        self._cost_priors = {name: AdditiveBelief(self._prior_of_savings(name)) for name in self.costs}
        self._drops, self._savings = self._drop_prior, dict(self._cost_priors)
        self._timed: dict[Proposal, Ratio] = {}
        self._counted: dict[Proposal, Mapping[str, float]] = {}
        self._measured: dict[Proposal, Figures] = {}

    def row(self, proposal: Proposal) -> np.ndarray:
        """Return which columns (n,) a proposal has."""
        row = np.zeros(len(self.columns))
        for place, choice in enumerate(self.space.canonical(proposal)):
            number = self._place.get((place, choice))
            # A layer that is gone keeps the precision that it was given: it makes no difference.
            if number is not None and not self._gone(proposal, place):
                row[number] = 1.0
        return row

    def learn(
        self,
        results: Sequence[Result],
        timed: Mapping[Proposal, Ratio],
        counted: Mapping[Proposal, Mapping[str, float]],
    ) -> None:
        """Take in all that is known by now: finished candidates, timed structures, and counted ones."""
        canonical = self.space.canonical
        self._timed = {canonical(proposal): ratio for proposal, ratio in timed.items()}
        self._counted = {canonical(proposal): costs for proposal, costs in counted.items()}
        self._measured = {canonical(result.proposal): result.figures for result in results}
        rows = [self.row(proposal) for proposal in self._measured]
        figures = list(self._measured.values())
        self._drops = self._drop_prior.learned(
            rows, [one.drop for one in figures], [one.drop_half / _Z for one in figures]
        )
        for name in self.costs:
            seen = [
                (self._weighted(proposal, name), one.costs[name], one.halves.get(name, 0.0) / _Z)
                for proposal, one in self._measured.items()
                if name in one.costs
            ]
            if name == "latency":
                seen += [
                    (self._weighted(proposal, name), ratio.median, _scatter(ratio))
                    for proposal, ratio in self._timed.items()
                    if proposal not in self._measured
                ]
            else:
                seen += [
                    (self._weighted(p, name), costs[name], _counting_scatter(name, costs[name]))
                    for p, costs in self._counted.items()
                    if name in costs
                ]
            base = self.known.costs.get(name, 1.0)
            self._savings[name] = self._cost_priors[name].learned(
                [row for row, _, _ in seen], [base - value for _, value, _ in seen], [scatter for *_, scatter in seen]
            )

    def points(self, proposals: Sequence[Proposal]) -> tuple[np.ndarray, np.ndarray]:
        """Return means and standard deviations (m, d) of drop and costs; exact where they were measured or counted."""
        if not proposals:
            return np.zeros((0, 1 + len(self.costs))), np.zeros((0, 1 + len(self.costs)))
        proposals = [self.space.canonical(proposal) for proposal in proposals]
        means, deviations = [], []
        mean, deviation = self._drops.foretold(np.stack([self.row(proposal) for proposal in proposals]))
        means.append(mean)
        deviations.append(deviation)
        for name in self.costs:
            rows = np.stack([self._weighted(proposal, name) for proposal in proposals])
            mean, deviation = self._savings[name].foretold(rows)
            means.append(np.maximum(self.known.costs.get(name, 1.0) - mean, 1e-3))
            deviations.append(deviation)
        found, scatter = np.column_stack(means), np.column_stack(deviations)
        for number, proposal in enumerate(proposals):
            for place, name in enumerate(self.costs, 1):
                if name == "latency" and proposal in self._timed:
                    found[number, place] = self._timed[proposal].median
                    scatter[number, place] = _scatter(self._timed[proposal])
                elif name in self._counted.get(proposal, {}):
                    counted = self._counted[proposal][name]
                    found[number, place], scatter[number, place] = counted, _counting_scatter(name, counted)
            if proposal in self._measured:
                one = self._measured[proposal]
                found[number] = [
                    one.drop,
                    *(one.costs.get(name, value) for name, value in zip(self.costs, found[number, 1:], strict=True)),
                ]
                scatter[number] = [one.drop_half / _Z, *(one.halves.get(name, 0.0) / _Z for name in self.costs)]
        return found, scatter

    def foretold(self, proposal: Proposal) -> Foretold:
        """Return one proposal's figures with their intervals."""
        means, deviations = self.points([proposal])
        estimates = [
            Estimate(value=float(mean), ci95=(float(mean - _Z * deviation), float(mean + _Z * deviation)))
            for mean, deviation in zip(means[0], deviations[0], strict=True)
        ]
        return Foretold(drop=estimates[0], costs=dict(zip(self.costs, estimates[1:], strict=True)))

    def drop_effects(self) -> np.ndarray:
        """Return what every column adds to the drop (n,)."""
        return self._drops.effects()

    def savings(self, name: Cost) -> np.ndarray:
        """Return what every column saves of a cost (n,), negative where it costs more."""
        return self._savings[name].effects()

    def useful(self, objectives: Sequence[Cost]) -> tuple[tuple[int, ...], ...]:
        """Return for every dimension the choices that pay: what saves nothing, or no more than a milder one, does not.

        Args:
            objectives: Costs, of which one must be saved.
        """
        kept = []
        for place, dimension in enumerate(self.space.dimensions):
            choices = [self.known.base[place]]
            for choice in range(len(dimension.choices)):
                if choice == self.known.base[place]:
                    continue
                number = self._place[place, choice]
                if dimension.precision or any(self._pays(number, name) for name in objectives):
                    choices.append(choice)
            kept.append(tuple(sorted(choices)))
        return tuple(kept)

    def _pays(self, number: int, name: str) -> bool:
        place, _ = self.columns[number]
        saved = self.known.savings.get(name, {})
        if self.columns[number] not in saved:
            return True  # what is not known may pay
        own = saved[self.columns[number]]
        if own <= (0.01 if name == "latency" else 1e-6):
            return False
        drop = self.known.drops.get(self.columns[number])
        for other, (where, _) in enumerate(self.columns):
            if where != place or other == number:
                continue
            other_drop = self.known.drops.get(self.columns[other])
            milder = drop is not None and other_drop is not None and other_drop < drop
            if milder and saved.get(self.columns[other], 0.0) >= own:
                return False
        return True

    def _gone(self, proposal: Proposal, place: int) -> bool:
        canonical = self.space.canonical(proposal)
        return any(
            other == place and self.space.dimensions[gone].choices[canonical[gone]].get("keep") == "no"
            for gone, other in self.space.exclusive
        )

    def _weighted(self, proposal: Proposal, name: str) -> np.ndarray:
        """Return the columns (n,), structural ones in proportion to what the precision leaves."""
        row = self.row(proposal)
        base = self.known.costs.get(name, 1.0)
        saved = self.known.savings.get(name, {})
        precision = sum(
            saved.get(column, 0.0)
            for number, column in enumerate(self.columns)
            if row[number] and self._precision[number]
        )
        share = max(base - precision, 1e-3) / max(base, 1e-3)
        return np.where(self._precision, row, row * share)

    def _prior_of_drops(self) -> Prior:
        n = len(self.columns)
        effects, offsets, deviations = np.zeros(n), np.zeros(n), np.zeros(n)
        unit = self.known.unit
        left = _LEFT_BY_TRAINING if self.known.trains else 1.0
        for number, column in enumerate(self.columns):
            place, choice = column
            dimension = self.space.dimensions[place]
            drop = self.known.drops.get(column)
            if dimension.precision:
                offset = _of_bits(dimension.choices[choice].get(WEIGHT_BITS.name), unit) if drop is None else drop
                base = _of_bits(dimension.choices[self.known.base[place]].get(WEIGHT_BITS.name), unit)
                offsets[number] = offset - (base if drop is None else 0.0)
                deviations[number] = 0.5 * abs(offsets[number]) + 0.01 * unit
                continue
            if drop is None:
                drop = self._like(dimension.names)
                deviations[number] += 0.5 * left * drop
            effects[number] = left * max(drop, 0.0)
            deviations[number] += 0.4 * effects[number] + 0.02 * unit
        spread = _LEFT_DEVIATION if self.known.trains else 0.2
        return Prior(effects, offsets, deviations, 1.0, spread, _KNEE * unit, 0.02 * unit)

    def _like(self, names: frozenset[str]) -> float:
        known = [
            drop for (place, choice), drop in self.known.drops.items() if self.space.dimensions[place].names & names
        ]
        return max(float(np.mean(known)), 0.0) if known else 3 * self.known.unit

    def _prior_of_savings(self, name: str) -> Prior:
        saved = self.known.savings.get(name, {})
        effects = np.array([saved.get(column, 0.0) for column in self.columns])
        measured = name == "latency"
        deviations = np.abs(effects) * (0.15 if measured else 0.05) + (0.005 if measured else 0.001)
        return Prior(effects, np.zeros_like(effects), deviations, 1.0, 0.1, noise=0.01 if measured else 0.003)


def _of_bits(bits: object, unit: float) -> float:
    """Return a drop to expect of a weight's bits where nothing is known."""
    if not isinstance(bits, (int, float)) or bits >= 16:
        return 0.0
    return unit * (0.02 if bits >= 8 else 0.3 if bits >= 4 else 1.0)


def _counting_scatter(name: str, share: float) -> float:
    return _COUNTING_ERROR.get(name, 0.0) * share


def _scatter(ratio: Ratio) -> float:
    half = (ratio.ci95[1] - ratio.ci95[0]) / 2 / _Z
    return float(np.hypot(half, _STAND_IN_ERROR * ratio.median))
