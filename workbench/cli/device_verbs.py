"""Manages the machines to measure on from the command line: add one, list them, check one, remove one."""

from __future__ import annotations

import argparse

from workbench.cli.console import Console, table
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.remote_device import DeviceCheck
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CheckDeviceJob
from workbench.project.device_book import DeviceBook, device_from
from workbench.worker.dispatch import run_job

_FIELDS = ("name", "host", "port", "user", "key", "python", "folder", "known_hosts")


def device(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    """Run `workbench device ACTION`."""
    return _ACTIONS[options.action](options, console, cancel)


def _add(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    fields: dict[str, object] = {name: getattr(options, name) for name in _FIELDS}
    fields["host_key"] = "first" if options.accept_host_key else "known"
    added = device_from(fields, "device")
    DeviceBook().put(added)
    console.result(
        added.model_dump(mode="json"),
        f"{added.name} is {added.address}; `workbench device check {added.name}` says whether it can measure",
    )
    return 0


def _list(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    book = DeviceBook()
    devices = list(book)
    rows = [[entry.name, entry.address, entry.key or "-", entry.python] for entry in devices]
    console.result(
        {"file": str(book.file), "devices": [entry.model_dump(mode="json") for entry in devices]},
        table(["device", "address", "key", "python"], rows) if rows else "no other device than this computer: local",
    )
    return 0


def _check(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    context = JobContext(progress=Progress(console.progress), cancel=cancel, log=console.log)
    payload = run_job(CheckDeviceJob(device=options.name), context)
    found = DeviceCheck.model_validate(payload)
    console.result(payload, "\n".join((found.sentence, *(f"note: {note}" for note in found.notes))))
    return 0


def _remove(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    removed = DeviceBook().remove(options.name)
    console.result(
        removed.model_dump(mode="json"),
        f"forgot {removed.name}; what was stored there lies in {removed.folder}",
    )
    return 0


_ACTIONS = {"add": _add, "list": _list, "check": _check, "remove": _remove}
