"""Forms channel groups from united atoms: which units belong together, where they sit, which must stay.

A class is a set of united atoms, that is one channel with all its copies. Classes that one layer makes along one axis
belong to one group; a layer that only passes channels on (depthwise) does not tie groups together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workbench.graph.channels.flow import Flow, Labels, Slot, called
from workbench.graph.channels.group import ChannelGroup, Member
from workbench.graph.channels.uniting import tying_node


def form_groups(
    flow: Flow, classes: np.ndarray, blocked: Mapping[int, str]
) -> tuple[tuple[ChannelGroup, ...], dict[str, np.ndarray]]:
    """Return the groups in graph order and, for each, the class of every unit."""
    slots = [(slot, classes[slot.labels]) for slot in flow.slots]
    count = int(classes.max(initial=-1)) + 1
    group_of = _join([found for slot, found in slots if slot.axis == "out" and slot.own], count)
    order: dict[int, list[tuple[Slot, np.ndarray]]] = {}
    for slot, found in slots:
        if slot.axis == "out" and slot.own:
            order.setdefault(int(group_of[found[0]]), [])
    for slot, found in slots:
        for number in np.unique(group_of[found]).tolist():
            if number in order:
                order[number].append((slot, found))
    needed = _essential(flow, classes, blocked, group_of)
    groups: list[ChannelGroup] = []
    unit_classes: dict[str, np.ndarray] = {}
    for number, members in order.items():
        units = _units(number, members, group_of)
        first = next(slot.layer for slot, _ in members if slot.axis == "out" and slot.own)
        identity, copy = first, 2
        while identity in unit_classes:
            identity, copy = f"{first}#{copy}", copy + 1
        groups.append(_group(identity, units, members, blocked, needed.get(number, ()), flow))
        unit_classes[identity] = units
    return tuple(groups), unit_classes


def _join(axes: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Return a number per class such that classes along one axis have the same one."""
    first = [np.full(len(found) - 1, found[0]) for found in axes if len(found)]
    second = [found[1:] for found in axes if len(found)]
    if not first or not count:
        return np.arange(count)
    row, column = np.concatenate(first), np.concatenate(second)
    links = coo_array((np.ones(len(row), dtype=np.int8), (row, column)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def _units(number: int, members: Sequence[tuple[Slot, np.ndarray]], group_of: np.ndarray) -> np.ndarray:
    """Return the classes of a group, in the order of the widest layer that makes them."""
    outs = [found for slot, found in members if slot.axis == "out" and slot.own]
    widest = sorted(outs, key=lambda found: -len(np.unique(found)))
    joined = np.concatenate(widest)
    joined = joined[group_of[joined] == number]
    _, where = np.unique(joined, return_index=True)
    return np.asarray(joined[np.sort(where)], dtype=np.int64)


def _positions(found: np.ndarray, units: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Return for every unit its positions along an axis with these classes."""
    order = np.argsort(found, kind="stable")
    sorted_classes = found[order]
    starts = np.searchsorted(sorted_classes, units, side="left")
    ends = np.searchsorted(sorted_classes, units, side="right")
    return tuple(tuple(order[start:end].tolist()) for start, end in zip(starts.tolist(), ends.tolist(), strict=True))


def _group(
    identity: str,
    units: np.ndarray,
    members: Sequence[tuple[Slot, np.ndarray]],
    blocked: Mapping[int, str],
    needed: Sequence[np.ndarray],
    flow: Flow,
) -> ChannelGroup:
    placed = tuple(
        Member(slot.layer, slot.axis, slot.weight, slot.weight_axis, _positions(found, units), slot.own)
        for slot, found in members
    )
    at = {int(number): unit for unit, number in enumerate(units)}
    reasons = {unit: blocked[number] for number, unit in at.items() if number in blocked}
    essential = {frozenset(at[int(number)] for number in found) for found in needed}
    locked = set(reasons) | {unit for entry in essential if len(entry) == 1 for unit in entry}
    lock_reason = next(iter(reasons.values()), "something needs at least this channel" if locked else None)
    essential = {entry for entry in essential if not entry & locked}
    reason = None
    if len(locked) == len(units):
        reason = lock_reason
    elif len(units) == 1:
        slot = max((slot for slot, _ in members if slot.axis == "out" and slot.own), key=lambda slot: len(slot.labels))
        node = tying_node(flow.atoms, flow.pairs, slot.labels)
        who = f"layer {slot.layer!r} makes" if node is None else f"{called(node)} ties together"
        reason = f"{who} all of its channels, so none can go alone"
    unit = max(
        (len(entry) for member in placed if member.axis == "out" and member.own for entry in member.positions),
        default=1,
    )
    return ChannelGroup(
        id=identity,
        units=len(units),
        unit=max(unit, 1),
        members=placed,
        locked=frozenset(locked),
        essential=tuple(sorted(essential, key=lambda entry: (len(entry), sorted(entry)))),
        reason=reason,
        lock_reason=lock_reason if locked else None,
    )


def _essential(
    flow: Flow, classes: np.ndarray, blocked: Mapping[int, str], group_of: np.ndarray
) -> dict[int, list[np.ndarray]]:
    """Return by group the sets of classes that some axis consists of, of which one must stay."""
    axes: dict[int, Labels] = {}
    for values in (*flow.values.values(), *(found for _, found in flow.uses.values())):
        axes.update({id(labels): labels for labels in values if labels is not None})
    size = np.bincount(group_of, minlength=1)
    stays = np.zeros(len(group_of), dtype=bool)
    stays[list(blocked)] = True
    seen: set[bytes] = set()
    found: dict[int, list[np.ndarray]] = {}
    for labels in axes.values():
        present = np.unique(classes[labels])
        numbers = group_of[present]
        if len(present) == size[numbers[0]] and (numbers == numbers[0]).all():
            continue
        key = present.tobytes()
        if key in seen or stays[present].any():
            continue
        seen.add(key)
        for number in np.unique(numbers).tolist():
            part = present[numbers == number]
            if len(part) < size[number]:
                found.setdefault(number, []).append(part)
    return found
