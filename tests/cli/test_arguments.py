from __future__ import annotations

import pytest

from workbench.cli import main
from workbench.cli.arguments import parse
from workbench.domain.errors import BadInputError

VERBS = [
    *(["demo"], ["inspect"], ["evaluate"], ["profile"], ["sweep"], ["staircase"], ["compress"], ["import"]),
    *(["project"], *(["project", action] for action in ("new", "info", "run", "export"))),
    *(["plugin"], *(["plugin", action] for action in ("new", "list", "check"))),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself(verb, capsys) -> None:
    with pytest.raises(SystemExit) as left:
        main([*verb, "--help"])
    said = capsys.readouterr()
    assert left.value.code == 0
    assert said.err == ""
    assert said.out.startswith(f"usage: workbench {' '.join(verb)} ")
    assert "%(" not in said.out
    assert "--json" in said.out
    undescribed = [line for line in said.out.splitlines() if line.startswith("  --") and len(line.split()) == 1]
    assert all(len(line) > 20 for line in undescribed), undescribed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], ("'frobnicate'", "'inspect'", "workbench --help")),
        (["inspect"], ("inspect:", "MODEL", "workbench inspect --help")),
        (["inspect", "m.onnx", "--frob"], ("inspect:", "'--frob'", "workbench inspect --help")),
        (["inspect", "m.onnx", "other"], ("inspect:", "'other'")),
        (["profile", "m.onnx", "--batch", "many"], ("--batch", "'many'", "workbench profile --help")),
        (["project"], ("project:", "ACTION")),
        (["project", "info", "p.mcw", "--x"], ("project info:", "'--x'", "workbench project info --help")),
        (["evaluate", "m.onnx", "--data", "d.yaml", "--sample", "3"], ("evaluate:", "'--sample'")),
        ([], ("COMMAND",)),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_what_is_not_understood_is_one_line(arguments, words, capsys) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("workbench: ")
    assert said.err.count("\n") == 1
    assert [word for word in words if word not in said.err] == [], said.err


def test_output_options_may_stand_behind_every_action() -> None:
    for line in ("inspect m.onnx", "project info p.mcw", "plugin list", "demo"):
        options = parse([*line.split(), "--json", "--quiet", "--debug"])
        assert (options.json, options.quiet, options.debug) == (True, True, True)
    with pytest.raises(BadInputError):
        parse(["--json"])
