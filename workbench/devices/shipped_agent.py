"""Packs the agent into one file for a device: its modules, under another name than the workbench that may be there."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
import zipfile
from functools import cache
from pathlib import Path

# All that the agent imports of the workbench; a test holds the list against their imports.
MODULES = (
    "workbench.devices.agent.answers",
    "workbench.devices.agent.bandwidth",
    "workbench.devices.agent.commands",
    "workbench.devices.agent.description",
    "workbench.devices.agent.energy",
    "workbench.devices.agent.kernels",
    "workbench.devices.agent.measuring",
    "workbench.devices.agent.runs",
    "workbench.devices.agent.serving",
    "workbench.devices.agent.sessions",
    "workbench.devices.agent.store",
    "workbench.devices.agent.system_load",
    "workbench.devices.agent.throughput",
    "workbench.devices.bandwidth",
    "workbench.devices.core_clocks",
    "workbench.devices.energy_rounds",
    "workbench.devices.held_cores",
    "workbench.devices.processor",
    "workbench.devices.rapl",
    "workbench.devices.resident_memory",
    "workbench.devices.rounds",
    "workbench.devices.streams",
    "workbench.domain.no_garbage_collection",
    "workbench.engines.inference_ort.drawn_inputs",
    "workbench.engines.inference_ort.kernel_rounds",
    "workbench.engines.inference_ort.operator_times",
    "workbench.engines.inference_ort.options",
)
_PACKAGE = "workbench_agent"
_OWN_IMPORT = re.compile(r"^(\s*(?:from|import) )workbench\.", re.MULTILINE)
# Python of any age can read this much.
_MAIN = f"""import sys
if sys.version_info < (3, 9):
    said = '{{"type": "error", "kind": "python", "text": "%d.%d", "model": 0}}' % sys.version_info[:2]
    sys.stdout.write('\\x1eworkbench ' + said + '\\n')
else:
    from {_PACKAGE}.devices.agent.commands import main
    sys.exit(main(sys.argv[1:]))
"""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@cache
def agent_archive() -> bytes:
    """Return the agent as a zip that Python runs, the same bytes for the same sources."""
    files = {"__main__.py": _MAIN}
    for module in MODULES:
        parts = module.split(".")[1:]
        for depth in range(len(parts)):
            files["/".join((_PACKAGE, *parts[:depth], "__init__.py"))] = ""
        files["/".join((_PACKAGE, *parts)) + ".py"] = _OWN_IMPORT.sub(rf"\g<1>{_PACKAGE}.", _source(module))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name], zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def agent_sha256() -> str:
    """Return the archive's hash."""
    return hashlib.sha256(agent_archive()).hexdigest()


def agent_name() -> str:
    """Return the archive's file name on the device: another agent is another file."""
    return f"agent-{agent_sha256()[:16]}.pyz"


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")
