"""What a model takes of memory, as lines of a property list: the whole, an inference, and the runtime's arena."""

from __future__ import annotations

from workbench.domain.measurements import ModelLatency
from workbench.ui.models import numbers
from workbench.ui.models.facts import Fact, exact


def memory_facts(measured: ModelLatency) -> tuple[Fact, ...]:
    """Return what was measured; nothing where the system or the runtime does not say."""
    facts = []
    for title, size, what in (
        ("Peak memory", measured.peak_memory_bytes, "bytes: the most that loading and running add to the process"),
        (
            "Per inference",
            measured.inference_memory_bytes,
            "bytes: the most that running adds to what is resident after loading",
        ),
        ("Arena", measured.arena_bytes, "bytes that the runtime keeps to hold activations in, by its own account"),
    ):
        if size is not None:
            facts.append(Fact(title, numbers.size_text(size), exact(size, what)))
    return tuple(facts)
