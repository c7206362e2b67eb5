"""What DATA.yaml can name: the program's own metrics or readers, and those that plugins brought."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Generic, Protocol, TypeVar

from workbench.domain.errors import DataError, PluginError


class Named(Protocol):
    """A class with the name that DATA.yaml uses."""

    name: ClassVar[str]


T = TypeVar("T", bound=Named)


class Offers(Generic[T]):
    """Classes of one kind by name.

    Args:
        kind: In messages, e.g. "metric".
        own: What comes with the program.
    """

    def __init__(self, kind: str, own: Iterable[type[T]]) -> None:
        self._kind = kind
        self._classes: dict[str, type[T]] = {entry.name: entry for entry in own}
        self._plugins: dict[str, str] = {}

    def all(self) -> tuple[type[T], ...]:
        """Return all of them."""
        return tuple(self._classes.values())

    def register(self, offered: type[T], plugin: str) -> None:
        """Add a plugin's, or the plugin's newer version of it; PluginError as `require_free`."""
        self.require_free(offered.name, plugin)
        self._classes[offered.name], self._plugins[offered.name] = offered, plugin

    def require_free(self, name: str, plugin: str) -> None:
        """Raise PluginError if one of that name comes with the program or from another plugin."""
        owner = self.owner(name)
        if name in self._classes and owner != plugin:
            raise PluginError(
                f"the {self._kind} name {name!r} is already taken",
                where=f"plugin {plugin!r}",
                found=f"a {self._kind} of the program" if owner is None else f"it in plugin {owner!r}",
                action="Give it another name.",
            )

    def owner(self, name: str) -> str | None:
        """Return the plugin that brought one, or None."""
        return self._plugins.get(name)

    def named(self, name: str, where: str) -> type[T]:
        """Return one; DataError listing the known ones if there is none of that name."""
        if name not in self._classes:
            raise DataError(
                f"unknown {self._kind} {name!r}",
                where=where,
                expected="one of " + ", ".join(self._classes),
                action="Correct the name or install the plugin that brings it.",
            )
        return self._classes[name]
