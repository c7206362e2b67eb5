"""Files of older formats are brought up to date and lose nothing."""

from __future__ import annotations

import contextlib
import sqlite3

from workbench.project import schema
from workbench.project.state import ProjectState
from workbench.project.store import Store


def test_a_file_of_the_first_format_is_brought_up_to_date(tmp_path):
    path = tmp_path / "old.mcw"
    Store.create(path, ProjectState())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM field WHERE name = 'dimensions'")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with contextlib.closing(Store(path)) as opened:
        assert opened.state == ProjectState()
        opened.write(ProjectState(dimensions={"height": 64}))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert schema.version_of(connection) == len(schema.MIGRATIONS)
    with contextlib.closing(Store(path)) as opened:
        assert opened.state.dimensions == {"height": 64}
