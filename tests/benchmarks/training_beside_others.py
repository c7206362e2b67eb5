"""Prints how long a training step takes alone and beside busy processes, by how long waiting threads spin.

usage: python tests/benchmarks/training_beside_others.py [--neighbours 2] [--steps 10]

Six convolutions of 16 channels at 32x32, 64 samples, as many threads as cores. Each row is the median of three
processes, in turns; the workbench sets 3000 unless the environment says otherwise. Latest figures, 2 cores,
milliseconds a step (alone they scatter by a tenth):

    GOMP_SPINCOUNT   alone   beside 2 busy processes
    runtime's own      54.5    221.7
    30000              62.3    203.2
    10000              59.9    144.2
    3000               56.6    123.2
    1000               62.1    185.0

Without spinning at all (OMP_WAIT_POLICY=PASSIVE) it was 61 and 67 alone, where others had 50 to 55. With about eight
processes at work: the runtime's own 1,095 to 2,249, 30000 504 and 520, 10000 377 and 379, 1000 234 and 247.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

COUNTS = ("runtime's own", "30000", "10000", "3000", "1000")
_ROUNDS = 3
_BUSY = "while True: pass"


def step_ms(steps: int) -> float:
    """Train in this process and return the milliseconds of a step."""
    import torch

    torch.manual_seed(0)
    layers = [
        layer
        for _ in range(6)
        for layer in (torch.nn.Conv2d(16, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU())
    ]
    network, samples = torch.nn.Sequential(*layers), torch.randn(64, 16, 32, 32)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    began = 0.0
    for step in range(-2, steps):
        if step == 0:
            began = time.perf_counter()
        optimizer.zero_grad()
        network(samples).square().mean().backward()
        optimizer.step()
    return (time.perf_counter() - began) / steps * 1e3


def measured(count: str, steps: int) -> float:
    """Return the milliseconds of a step in a process whose threads spin so often."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    }
    if count.isdigit():
        environment["GOMP_SPINCOUNT"] = count
    command = [sys.executable, __file__, "--one", "--steps", str(steps)]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", type=int, default=2, help="processes that only count")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--one", action="store_true", help="measure in this process and print the figure alone")
    options = parser.parse_args()
    if options.one:
        print(step_ms(options.steps))
        return
    found: dict[tuple[str, int], list[float]] = {}
    for neighbours in (0, options.neighbours):
        busy = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(neighbours)]
        try:
            for _ in range(_ROUNDS):
                for count in COUNTS:
                    found.setdefault((count, neighbours), []).append(measured(count, options.steps))
        finally:
            for process in busy:
                process.kill()
    for count in COUNTS:
        alone, beside = (statistics.median(found[count, neighbours]) for neighbours in (0, options.neighbours))
        print(f"{count:16s} {alone:6.1f}   {beside:6.1f}")


if __name__ == "__main__":
    main()
