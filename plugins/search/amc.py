"""Reinforcement learning that walks over the layers: an agent decides for one after the other how much of it goes.

As in AMC (He et al., 2018) a deep deterministic policy gradient (Lillicrap et al., 2016) is trained, every step of an
episode is rewarded with what the whole network came to. Episodes run on the forecast, which every finished candidate
corrects; only what promises most is built.

Notation: actions lie in 0-1, from the mildest choice to the strongest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from workbench.api import Parameters, Proposal, SearchTask, Strategy

_FEATURES = 8
_HIDDEN = 48
_BATCH = 64
_UPDATES = 8


class AmcParameters(Parameters):
    """Parameters of the agent."""

    episodes: int = Field(
        default=80, ge=2, le=10_000, title="Episodes", description="On the forecast, before each candidate."
    )
    warm_up: int = Field(default=16, ge=1, le=1000, title="Warm-up", description="Episodes that act at random first.")
    noise: float = Field(
        default=0.5, gt=0, le=1, title="Noise", description="Deviation of the exploration, which falls to a tenth."
    )
    learning_rate: float = Field(
        default=1e-3, gt=0, le=1, title="Learning rate", description="Of the critic; a third of it for the actor."
    )


class Amc(Strategy):
    """An agent decides for every layer in turn; the hypervolume that the forecast promises is its reward."""

    name = "amc"
    title = "Reinforcement learning (AMC)"
    summary = "A policy-gradient agent walks over the layers and is rewarded by what the forecast promises."
    source = "He et al., 2018, AMC; Lillicrap et al., 2016"
    Parameters = AmcParameters

    def ask(self, count: int) -> Sequence[Proposal]:
        """Return the most promising networks of all episodes."""
        task = self.task
        first = task.new([task.base])
        if first:
            return first
        return task.ranked(list(_Agent(task, self.parameters).episodes()))[:count]


class _Agent:
    """One training from scratch: the same for the same seed and finished candidates."""

    def __init__(self, task: SearchTask, parameters: AmcParameters) -> None:
        self._task, self._parameters = task, parameters
        self._rng = np.random.default_rng([task.seed, 0xA3C, len(task.finished)])
        forecast = task.forecast
        place = {column: number for number, column in enumerate(forecast.columns)}
        drops, savings = forecast.drop_effects(), forecast.savings(task.costs[0])
        self._ladder: list[list[int]] = []
        self._effects: list[list[tuple[float, float]]] = []
        for number, choices in enumerate(task.choices()):
            known = {
                choice: (float(drops[place[number, choice]]), float(savings[place[number, choice]]))
                if (number, choice) in place
                else (0.0, 0.0)
                for choice in choices
            }
            order = sorted(choices, key=lambda choice: known[choice][1])
            self._ladder.append(order)
            self._effects.append([known[choice] for choice in order])
        self._scale = max(max((s for _, s in steps), default=0.0) for steps in self._effects) or 1.0

    def episodes(self) -> dict[Proposal, float]:
        """Return the proposals of all episodes with their rewards."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self._rng.integers(2**31)))
            actor, critic = _network(torch, _FEATURES, torch.nn.Sigmoid()), _network(torch, _FEATURES + 1, None)
            rate = self._parameters.learning_rate
            slow = torch.optim.Adam(actor.parameters(), lr=rate / 3)
            fast = torch.optim.Adam(critic.parameters(), lr=rate)
            found: dict[Proposal, float] = {}
            states: list[np.ndarray] = []
            actions: list[float] = []
            rewards: list[float] = []
            for episode in range(self._parameters.episodes):
                share = episode / self._parameters.episodes
                noise = self._parameters.noise * (1 - 0.9 * share)
                random = episode < self._parameters.warm_up
                walked, taken, proposal = self._walk(torch, None if random else actor, noise)
                reward = self._reward(proposal, found)
                found[proposal] = reward
                states += walked
                actions += taken
                rewards += [reward] * len(taken)
                if not random:
                    self._improve(torch, (actor, critic), (slow, fast), states, actions, rewards)
        return found

    def _walk(self, torch: Any, actor: Any, noise: float) -> tuple[list[np.ndarray], list[float], Proposal]:
        states, actions, proposal = [], [], []
        saved = lost = 0.0
        for number, order in enumerate(self._ladder):
            strongest = self._effects[number][-1]
            dimension = self._task.space.dimensions[number]
            state = np.array(
                [
                    number / len(self._ladder),
                    float(dimension.depth),
                    float(dimension.precision),
                    len(order) / 8,
                    strongest[0] / self._task.reference[0],
                    strongest[1] / self._scale,
                    saved,
                    lost / self._task.reference[0],
                ],
                np.float32,
            )
            if actor is None:
                action = float(self._rng.uniform())
            else:
                with torch.no_grad():
                    middle = float(actor(torch.from_numpy(state)))
                action = float(np.clip(self._rng.normal(middle, noise), 0.0, 1.0))
            step = min(int(action * len(order)), len(order) - 1)
            proposal.append(order[step])
            lost += self._effects[number][step][0]
            saved += self._effects[number][step][1]
            states.append(state)
            actions.append(action)
        return states, actions, self._task.space.canonical(proposal)

    def _reward(self, proposal: Proposal, found: dict[Proposal, float]) -> float:
        if proposal in found:
            return found[proposal]
        (gain,) = self._task.gains([proposal])
        whole = float(np.prod(self._task.reference))
        if gain > 0:
            return gain / whole * 10
        # Without a gain, how far it is from the reference tells the agent where to go.
        means, _ = self._task.forecast.points([proposal])
        return -max(0.0, float(means[0, 0]) / self._task.reference[0] - 1)

    def _improve(
        self,
        torch: Any,
        networks: tuple[Any, Any],
        optimizers: tuple[Any, Any],
        states: list[np.ndarray],
        actions: list[float],
        rewards: list[float],
    ) -> None:
        (actor, critic), (slow, fast) = networks, optimizers
        seen = torch.from_numpy(np.stack(states))
        taken = torch.tensor(actions, dtype=torch.float32)[:, None]
        got = torch.tensor(rewards, dtype=torch.float32)[:, None]
        centre = got.mean()
        for _ in range(_UPDATES):
            part = torch.from_numpy(self._rng.integers(0, len(actions), size=min(_BATCH, len(actions))))
            value = critic(torch.cat([seen[part], taken[part]], 1))
            fast.zero_grad()
            torch.nn.functional.mse_loss(value, got[part] - centre).backward()
            fast.step()
            slow.zero_grad()
            (-critic(torch.cat([seen[part], actor(seen[part])], 1)).mean()).backward()
            slow.step()


def _network(torch: Any, inputs: int, last: Any) -> Any:
    """Return a small perceptron with one output."""
    layers = [torch.nn.Linear(inputs, _HIDDEN), torch.nn.ReLU(), torch.nn.Linear(_HIDDEN, 1)]
    return torch.nn.Sequential(*layers, *([last] if last is not None else []))
