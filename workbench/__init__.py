"""Model-compression workbench: compress trained networks and choose by what was measured on the exported file."""

import os

__version__ = "0.1.0"

# ONNX Runtime keeps a device id and a database of events for its makers from the moment it is imported; what somebody
# compresses here is nobody else's business. Worker processes inherit this.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
