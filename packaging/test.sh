#!/usr/bin/env bash
# Sets everything up on a fresh Debian/Ubuntu machine and passes the tests. Arguments go to pytest.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" test
cd "$root"
export QT_QPA_PLATFORM=${QT_QPA_PLATFORM:-offscreen}
"$venv/bin/lint-imports"
exec "$python" -m pytest -m "not slow" "$@"
