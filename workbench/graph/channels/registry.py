"""Where operator families register how channels run through them and what changes when some are removed.

A family is one file under `rules/`; adding an operator adds a rule and touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.graph.model import Node

if TYPE_CHECKING:
    from workbench.graph.channels.cut import Cut
    from workbench.graph.channels.flow import Flow


@dataclass(frozen=True)
class Change:
    """What removal does to one node besides slicing its weights.

    Attributes:
        attributes: New values; None takes an attribute away.
        inputs: New constants by input index.
        elements: By index of an input that is computed and has one axis: the new value of every element, None for
            those that stay as computed.
    """

    attributes: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[int, np.ndarray] = field(default_factory=dict)
    elements: Mapping[int, Sequence[int | None]] = field(default_factory=dict)


Spread = Callable[[Node, "Flow"], None]
Shrink = Callable[[Node, "Cut"], Change | None]

_spreads: dict[tuple[str, str], Spread] = {}
_shrinks: dict[tuple[str, str], Shrink] = {}


def spreads(*ops: str, domain: str = "") -> Callable[[Spread], Spread]:
    """Register how channel identities run through the operators `ops`."""

    def register(rule: Spread) -> Spread:
        for op in ops:
            _spreads[domain, op] = rule
        return rule

    return register


def shrinks(*ops: str, domain: str = "") -> Callable[[Shrink], Shrink]:
    """Register what changes on the operators `ops` when channels are removed."""

    def register(rule: Shrink) -> Shrink:
        for op in ops:
            _shrinks[domain, op] = rule
        return rule

    return register


def spread_rule(node: Node) -> Spread | None:
    """Return the rule of a node's operator, or None for one that can't be seen through."""
    return _spreads.get((node.domain, node.op))


def shrink_rule(node: Node) -> Shrink | None:
    """Return what changes on a node, or None where slicing its weights is all."""
    return _shrinks.get((node.domain, node.op))


def known_operators() -> frozenset[str]:
    """Return the standard operators that channels can be followed through."""
    return frozenset(op for domain, op in _spreads if not domain)
