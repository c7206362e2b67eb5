#!/usr/bin/env bash
# Sets everything up on a fresh Debian/Ubuntu machine and passes the tests. With arguments, pytest gets them as they are.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" test
cd "$root"
export QT_QPA_PLATFORM=${QT_QPA_PLATFORM:-offscreen}
"$venv/bin/lint-imports"
[ $# -eq 0 ] || exec "$python" -m pytest -m "not slow" "$@"
# Tests share the cores, file by file, except for those that time something. Both halves run, whatever the first says.
status=0
OMP_NUM_THREADS=1 "$python" -m pytest -m "not slow and not alone" -n logical --maxprocesses 4 --dist loadfile || status=$?
"$python" -m pytest -m "not slow and alone" || status=$?
exit "$status"
