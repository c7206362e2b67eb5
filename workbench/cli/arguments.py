"""The command line's grammar: verbs, their arguments and help texts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from workbench import __version__
from workbench.domain.errors import BadInputError
from workbench.domain.sensitivity_reports import ESTIMATORS


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)  # an abbreviation in a script breaks with the next option

    def error(self, message: str) -> NoReturn:
        verb = self.prog.removeprefix("workbench").strip() or None
        raise BadInputError(message, where=verb, action=f"Run `{self.prog} --help` for the arguments.")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line; `--help` and `--version` print and exit.

    Raises:
        BadInputError: a verb, argument or value that is not known or missing.
    """
    options, unknown = parser().parse_known_args(list(arguments))
    if unknown:
        verb = " ".join(filter(None, (options.verb, getattr(options, "action", None))))
        raise BadInputError(
            f"unknown argument {unknown[0]!r}", where=verb, action=f"Run `workbench {verb} --help` for the arguments."
        )
    return options


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; errors are raised as BadInputError."""
    common = _Parser(add_help=False)
    group = common.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    group.add_argument("--quiet", action="store_true", help="no progress and no logs")
    group.add_argument("--debug", action="store_true", help="show tracebacks")

    root = _Parser(prog="workbench", description="Compress trained networks and measure what is exported.")
    root.add_argument("--version", action="version", version=f"workbench {__version__}")
    verbs = root.add_subparsers(dest="verb", metavar="COMMAND", required=True, parser_class=_Parser)

    def verb(name: str, text: str, *, project: bool = False) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text, parents=[common])
        if project:
            sub.add_argument("--project", metavar="FILE.mcw", help="record what is found in this project")
        return sub

    demo = verb("demo", "run the embedded demo: model, data, sensitivities, candidates, Pareto front")
    demo.add_argument("--headless", action="store_true", help="without a window: print the table, write the files")
    demo.add_argument(
        "--out", metavar="DIR", default="workbench-demo", help="folder to write to (default: %(default)s)"
    )

    inspect = verb("inspect", "list layers, channel groups and costs", project=True)
    inspect.add_argument("model", metavar="MODEL")
    _dimension_argument(inspect)

    evaluate = verb("evaluate", "measure the metric of a model file in ONNX Runtime", project=True)
    evaluate.add_argument("model", metavar="MODEL")
    evaluate.add_argument("--data", metavar="DATA.yaml", required=True)
    evaluate.add_argument("--samples", default="all", help="number of test samples, or all (default)")
    evaluate.add_argument("--threads", type=int, default=0, help="threads of the runtime; 0 takes all cores")
    evaluate.add_argument("--device", default="local", help="where the model runs (default: this computer)")

    ladder = verb("ladder", "simulate a file in torch, execute it node by node and as deployed, and compare")
    ladder.add_argument("model", metavar="MODEL")
    ladder.add_argument("--data", metavar="DATA.yaml", required=True)
    ladder.add_argument("--original", metavar="MODEL", help="what metrics without labels compare with")
    ladder.add_argument("--samples", default="all", help="number of test samples for the metric, or all (default)")
    ladder.add_argument("--compared", type=int, default=64, help="samples to compare inner values on (default: 64)")

    compare = verb("compare", "compare models on the same samples: by class, by layer, and which samples changed")
    compare.add_argument("models", metavar="MODEL", nargs="+", help="the original first")
    compare.add_argument("--data", metavar="DATA.yaml", required=True)
    compare.add_argument("--samples", default="all", help="number of test samples, or all (default)")
    compare.add_argument(
        "--compared", type=int, default=64, help="samples to compare layers on; 0 for none (default: %(default)s)"
    )
    compare.add_argument(
        "--pictures",
        type=int,
        default=0,
        help="samples that come with a picture, for each model and verdict (default: %(default)s)",
    )

    profile = verb("profile", "measure latency, models interleaved in one process", project=True)
    profile.add_argument("models", metavar="MODEL", nargs="+")
    _latency_arguments(profile)
    profile.add_argument("--seconds", type=float, default=5.0, help="how long to measure (default: %(default)s)")
    profile.add_argument("--roofline", action="store_true", help="place layers under the device's measured roofs")
    profile.add_argument("--fresh", action="store_true", help="measure the device's roofs anew")
    profile.add_argument("--throughput", action="store_true", help="count samples a second, too")
    profile.add_argument("--streams", type=int, default=1, help="sessions that run at the same time (default: 1)")
    profile.add_argument("--energy", action="store_true", help="measure energy, or else estimate it")
    profile.add_argument("--coefficients", metavar="FILE", help="picojoules a MAC and a byte, as YAML or JSON")

    sweep = verb("sweep", "measure the sensitivity of every layer to a knob", project=True)
    sweep.add_argument("model", metavar="MODEL")
    sweep.add_argument("--data", metavar="DATA.yaml", required=True)
    sweep.add_argument("--method", metavar="ID", required=True)
    sweep.add_argument("--knob", metavar="KNOB", required=True)
    sweep.add_argument("--values", metavar="V1,V2,…", required=True)
    sweep.add_argument("--layers", metavar="GLOB", action="append", default=[], help="only these layers; repeatable")
    sweep.add_argument("--samples", default="2000", help="number of test samples, or all (default: %(default)s)")
    sweep.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="parameter of the method")
    sweep.add_argument("--seed", type=int, default=0)
    sweep.add_argument("--store", metavar="FILE", help="append what is run to this file and resume from it")
    sweep.add_argument("--all-samples", action="store_true", help="run every setting on all samples, settled or not")
    sweep.add_argument(
        "--budget",
        type=float,
        metavar="DROP",
        help="accepted drop, in the metric's unit: end a setting as soon as it is certain on which side of it it is",
    )
    sweep.add_argument("--all-but", action="store_true", help="set all layers but one, to see what sparing it is worth")
    sweep.add_argument("--pairs", action="store_true", help="what two layers lose together beyond both alone")
    sweep.add_argument("--estimate", action="store_true", help="rank layers within seconds by what the outputs do")
    sweep.add_argument(
        "--estimator", choices=tuple(ESTIMATORS), help="what --estimate looks at (default: divergence of the outputs)"
    )

    staircase = verb("staircase", "time layers against their number of channels: which counts pay", project=True)
    staircase.add_argument("model", metavar="MODEL")
    staircase.add_argument("--layers", metavar="GLOB", action="append", default=[], help="only these; repeatable")
    staircase.add_argument("--fresh", action="store_true", help="time all anew, whatever was kept")
    _latency_arguments(staircase)

    preflight = verb("preflight", "foretell what a recipe will take here, and which layers are fast in integers")
    preflight.add_argument("model", metavar="MODEL")
    preflight.add_argument("--recipe", metavar="RECIPE.yaml", required=True)
    preflight.add_argument("--fresh", action="store_true", help="time all kernels anew")
    _latency_arguments(preflight)

    compress = verb("compress", "make one candidate from a recipe and measure it", project=True)
    compress.add_argument("model", metavar="MODEL")
    compress.add_argument("--recipe", metavar="RECIPE.yaml", required=True)
    compress.add_argument("--out", metavar="OUT.onnx", required=True)
    compress.add_argument(
        "--predict", action="store_true", help="foretell the latency first, for comparison with the measured one"
    )
    compress.add_argument("--cache", metavar="DIR", help="keep step results here and reuse them")
    compress.add_argument("--no-latency", action="store_true", help="don't measure latency")
    _latency_arguments(compress)

    search = verb("search", "make many candidates under objectives and budgets: a front of files", project=True)
    search.add_argument("model", metavar="MODEL")
    search.add_argument("--data", metavar="DATA.yaml", help="takes the place of what the study names")
    search.add_argument("--study", metavar="STUDY.yaml", help="what to vary and strive for (default: what suits)")
    search.add_argument(
        "--budget", metavar="TEXT", action="append", help="such as '<= 1 %% drop', '<= 5 ms', '<= 300 KB'; repeatable"
    )
    search.add_argument("--out", metavar="DIR", required=True, help="folder of the study; one begun there goes on")
    search.add_argument("--minutes", type=float, help="take the place of the study's stop.minutes")
    search.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="build candidates on this Dask cluster")
    search.add_argument("--device", help="where latency is measured (default: the study's)")
    _dimension_argument(search)

    project = verb("project", "work with a project file")
    actions = project.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
    new = actions.add_parser("new", help="make a project from a model", parents=[common])
    new.add_argument("file", metavar="FILE.mcw")
    new.add_argument("--model", metavar="MODEL", required=True)
    new.add_argument("--data", metavar="DATA.yaml")
    new.add_argument("--recipe", metavar="RECIPE.yaml", help="plan and steps to begin with")
    _dimension_argument(new)
    info = actions.add_parser("info", help="say what is in a project", parents=[common])
    info.add_argument("file", metavar="FILE.mcw")
    run = actions.add_parser("run", help="run the project's plan and steps and add the candidate", parents=[common])
    run.add_argument("file", metavar="FILE.mcw")
    run.add_argument("--name", help="name of the candidate")
    run.add_argument("--recipe", metavar="RECIPE.yaml", help="run this recipe instead of the project's")
    export = actions.add_parser("export", help="write a candidate's model and recipe", parents=[common])
    export.add_argument("file", metavar="FILE.mcw")
    export.add_argument("--candidate", metavar="NAME", help="name or id (default: the latest)")
    export.add_argument("--out", metavar="OUT.onnx", required=True)
    export.add_argument("--recipe", metavar="OUT.yaml", help="write the recipe here too")
    report = actions.add_parser("report", help="write the project as one page of HTML", parents=[common])
    report.add_argument("file", metavar="FILE.mcw")
    report.add_argument("--out", metavar="OUT.html", required=True)

    plugin = verb("plugin", "for plugin authors")
    actions = plugin.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
    new = actions.add_parser("new", help="write a working template", parents=[common])
    new.add_argument("folder", metavar="FOLDER")
    actions.add_parser("list", help="list plugins and their methods", parents=[common])
    check = actions.add_parser("check", help="run the compliance suite on a plugin folder", parents=[common])
    check.add_argument("folder", metavar="FOLDER")

    device = verb("device", "manage the machines to measure on")
    actions = device.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
    add = actions.add_parser("add", help="add a machine that is reached over SSH, or change one", parents=[common])
    add.add_argument("name", metavar="NAME")
    add.add_argument("--host", required=True, help="name, address, or alias of your SSH settings")
    add.add_argument("--port", type=int, help="of its SSH server (default: as your SSH settings say, else 22)")
    add.add_argument("--user", default="", help="to log in as (default: as your SSH settings say)")
    add.add_argument("--key", metavar="FILE", default="", help="private key (default: those that ssh tries)")
    add.add_argument("--python", metavar="PATH", default="", help="there, with numpy and onnxruntime")
    add.add_argument("--folder", metavar="PATH", default="", help="there, for the agent and models")
    add.add_argument("--known-hosts", metavar="FILE", default="", help="of host keys (default: your own)")
    add.add_argument(
        "--accept-host-key", action="store_true", help="remember its host key the first time instead of refusing it"
    )
    actions.add_parser("list", help="list them", parents=[common])
    check = actions.add_parser("check", help="connect, and say whether it can measure", parents=[common])
    check.add_argument("name", metavar="NAME")
    remove = actions.add_parser("remove", help="forget one", parents=[common])
    remove.add_argument("name", metavar="NAME")

    imports = verb("import", "turn a torch.export archive or a Python factory into ONNX", project=True)
    imports.add_argument("source", metavar="SOURCE", help="MODEL.pt2, or path.py:function")
    imports.add_argument("--out", metavar="MODEL.onnx", required=True)
    imports.add_argument("--trust", action="store_true", help="run the factory's code without asking")
    return root


def _dimension_argument(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--dimension", metavar="NAME=SIZE", action="append", default=[], help="size of a dynamic dimension; repeatable"
    )


def _latency_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--device", default="local", help="where latency is measured (default: this computer)")
    sub.add_argument("--threads", type=int, default=1, help="threads of the runtime (default: %(default)s)")
    sub.add_argument("--batch", type=int, default=1, help="samples an inference (default: %(default)s)")
    _dimension_argument(sub)
