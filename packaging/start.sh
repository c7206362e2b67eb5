#!/usr/bin/env bash
# Sets everything up on a fresh Debian/Ubuntu machine and runs the main job on the embedded demo.
# Arguments go to `workbench demo`, e.g. --headless.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" ""
exec "$python" -m workbench demo "$@"
