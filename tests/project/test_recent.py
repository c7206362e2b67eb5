"""The list of files opened last."""

from __future__ import annotations

from workbench.project.recent import RecentFiles


def test_the_newest_is_first_once_and_shared_between_windows(user_folders):
    one, other = RecentFiles(), RecentFiles()
    for name in ("a", "b", "a"):
        (user_folders / f"{name}.mcw").touch()
        one.add(user_folders / f"{name}.mcw")
    assert [entry.path.name for entry in other.entries] == ["a.mcw", "b.mcw"]
    (user_folders / "b.mcw").unlink()
    assert [entry.missing for entry in other.entries] == [False, True]
    other.remove(user_folders / "b.mcw")
    assert [entry.path.name for entry in one.entries] == ["a.mcw"]
    one.clear()
    assert one.entries == ()


def test_it_is_bounded_and_a_damaged_list_is_an_empty_one(tmp_path):
    recent = RecentFiles(tmp_path / "deep" / "recent.json")
    for number in range(30):
        recent.add(tmp_path / str(number))
    assert len(recent.entries) == 20
    (tmp_path / "deep" / "recent.json").write_text("{")
    assert recent.entries == ()
    recent.add(tmp_path / "x")
    assert len(recent.entries) == 1


def test_a_missing_file_says_what_may_have_become_of_it_and_can_be_taken_off(tmp_path):
    recent = RecentFiles(tmp_path / "recent.json")
    there, gone, unplugged = tmp_path / "a.onnx", tmp_path / "b.onnx", tmp_path / "drive" / "c.onnx"
    there.touch()
    for path in (there, gone, unplugged):
        recent.add(path)
    why = {entry.path.name: entry.why_missing for entry in recent.entries}
    assert why["a.onnx"] is None
    assert "moved, renamed or deleted" in why["b.onnx"]
    assert "drive" in why["c.onnx"]
    recent.remove_missing()
    assert [entry.path for entry in recent.entries] == [there]
