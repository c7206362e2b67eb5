"""Looks at a plugin's source for imports that would tie it to the program's insides; nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from workbench import api

_SKIPPED = frozenset({"tests", "__pycache__"})


def foreign_imports(folder: Path) -> tuple[str, ...]:
    """Return "file, line n: import" for everything of the program but the names of `workbench.api`.

    Files under `tests` may import what they like.

    Raises:
        SyntaxError: a file is not Python.
    """
    found: list[str] = []
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if _SKIPPED.isdisjoint(inside.parts[:-1]):
            tree = ast.parse(path.read_bytes(), filename=str(inside))
            found.extend(f"{inside}, line {line}: {text}" for line, text in _foreign(tree, len(inside.parts)))
    return tuple(found)


def _foreign(tree: ast.Module, depth: int) -> Iterator[tuple[int, str]]:
    """Yield line and text of what is not allowed; `depth` relative levels stay within the plugin."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _inner(alias.name):
                    yield node.lineno, f"import {alias.name}"
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level > depth:
                yield node.lineno, f"from {'.' * node.level}{module} import …"
            elif node.level == 0 and _inner(module):
                yield node.lineno, f"from {module} import …"
            elif node.level == 0 and module == "workbench":
                yield from (
                    (node.lineno, f"from workbench import {alias.name}") for alias in node.names if alias.name != "api"
                )
            elif node.level == 0 and module == "workbench.api":
                yield from (
                    (node.lineno, f"{alias.name}, which is not in workbench.api.__all__")
                    for alias in node.names
                    if alias.name != "*" and alias.name not in api.__all__
                )
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                name = str(first.value)
                if _inner(name) or name == "workbench":
                    yield node.lineno, f"{called}({name!r})"


def _inner(module: str) -> bool:
    return module.startswith("workbench.") and module != "workbench.api"
