"""What a run without steps takes: the recommended method of every knob that the plan turns."""

from __future__ import annotations

from workbench.domain.plan import Plan
from workbench.domain.recipe import Step
from workbench.domain.reports import ParameterSchema
from workbench.ui.workflow import steps_for

METHODS = tuple(
    ParameterSchema(id=id, title=id, stage=stage, knobs=knobs, plugin="first-party")
    for id, stage, knobs in (
        ("prune.apoz", "prune", ("prune_ratio",)),
        ("prune.l1", "prune", ("prune_ratio",)),
        ("prune.magnitude", "prune", ("sparsity", "sparsity_pattern")),
        ("prune.sparsegpt", "prune", ("sparsity", "sparsity_pattern")),
        ("prune.movement", "train", ("sparsity", "sparsity_pattern")),
        ("train.finetune", "train", ()),
        ("quantize.ptq", "quantize", ("weight_bits", "activation_bits")),
    )
)


def chosen(**default: object) -> list[str]:
    return [step.method for step in steps_for(Plan(default=default), (), METHODS)]  # type: ignore[arg-type]


def test_every_knob_is_read_by_the_recommended_method() -> None:
    assert chosen(prune_ratio=0.5) == ["prune.l1", "train.finetune"]
    assert chosen(sparsity=0.5) == chosen(sparsity_pattern="2:4") == ["prune.sparsegpt", "train.finetune"]
    assert chosen(prune_ratio=0.5, sparsity=0.5, sparsity_pattern="2:4", weight_bits=8) == [
        "prune.l1",
        "prune.sparsegpt",
        "train.finetune",
        "quantize.ptq",
    ]
    assert chosen(weight_bits=8, activation_bits=8) == ["quantize.ptq"]


def test_steps_that_are_there_stay() -> None:
    own = (Step(method="prune.apoz"),)
    assert steps_for(Plan(default={"sparsity": 0.5}), own, METHODS) == own
