"""Model-compression workbench: compress trained networks and choose by what was measured on the exported file."""

import os

__version__ = "0.1.0"

# ONNX Runtime keeps a device id and a database of events for its makers from the moment it is imported; what somebody
# compresses here is nobody else's business. Worker processes inherit this.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Threads of a training that wait for each other spin for milliseconds by default. Beside other work the one that is
# waited for has no core then, and a step takes up to five times as long as with this, which costs next to nothing on a
# quiet machine: tests/benchmarks/training_beside_others.py. It must be there before torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
