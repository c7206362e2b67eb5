# Sets up a checkout: system libraries, virtual environment, dependencies. Sourced by start.sh and test.sh.
#
# usage: . packaging/setup.sh EXTRA   where EXTRA is "" or an extra of pyproject.toml such as "test"
# Leaves $venv (the environment's folder) and $python (its interpreter). Quick when nothing has changed.

set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="$root/.venv"
extra=${1:-}

say() { printf '%s\n' "workbench setup: $*" >&2; }
fail() { say "$*"; exit 1; }

# Runs a command as root where that is permitted without asking for a password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 126; fi
}

find_python() {
    local candidate
    for candidate in "${WORKBENCH_PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Debian package of every shared library that Qt opens, by library.
qt_libraries="libEGL.so.1:libegl1 libGL.so.1:libgl1 libxkbcommon.so.0:libxkbcommon0 libxkbcommon-x11.so.0:libxkbcommon-x11-0
libdbus-1.so.3:libdbus-1-3 libfontconfig.so.1:libfontconfig1 libxcb-cursor.so.0:libxcb-cursor0 libxcb-icccm.so.4:libxcb-icccm4
libxcb-image.so.0:libxcb-image0 libxcb-keysyms.so.1:libxcb-keysyms1 libxcb-randr.so.0:libxcb-randr0
libxcb-render-util.so.0:libxcb-render-util0 libxcb-shape.so.0:libxcb-shape0 libxcb-xinerama.so.0:libxcb-xinerama0
libxcb-xkb.so.1:libxcb-xkb1 libglib-2.0.so.0:libglib2.0-0"

missing_packages() {
    local known entry
    known=$({ ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | awk '{print $1}')
    for entry in $qt_libraries; do
        printf '%s\n' "$known" | grep -qxF "${entry%%:*}" || printf '%s ' "${entry##*:}"
    done
    [ -n "$(find /usr/share/fonts -name '*.ttf' -print -quit 2>/dev/null)" ] || printf 'fonts-dejavu-core '
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 || { say "please install the equivalents of these packages: $*"; return 1; }
    say "installing system packages: $*"
    if as_root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' sh "$@" >&2
    then return 0; fi
    say "could not install them. An administrator can: sudo apt-get install $*"
    return 1
}

if [ "$(uname -s)" = Linux ]; then
    packages=$(missing_packages)
    if [ -n "$packages" ]; then
        # shellcheck disable=SC2086
        install_packages $packages || say "going on without them; the window may not open until they are there"
    fi
fi

base=$(find_python) || { install_packages python3 python3-venv && base=$(find_python); } ||
    fail "needs Python 3.11, 3.12 or 3.13, found $(python3 --version 2>&1 || echo none). Install one, or name it in WORKBENCH_PYTHON."

python="$venv/bin/python"
if ! "$python" -c 'import sys' 2>/dev/null; then
    "$base" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv ||
        fail "Python's venv module is missing. Install python3-venv and run this again."
    say "making a virtual environment in .venv"
    "$base" -m venv --clear "$venv" || fail "could not make a virtual environment in $venv"
fi

wanted=$(cat "$root/pyproject.toml" "$root/packaging/constraints.txt" "$root/packaging/setup.sh" | sha256sum | cut -d' ' -f1)
stamp="$venv/.workbench-setup${extra:+-$extra}"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "installing dependencies (a few minutes the first time)"
    target="$root${extra:+[$extra]}"
    "$python" -m pip install --disable-pip-version-check --quiet -c "$root/packaging/constraints.txt" -e "$target" >&2 ||
        fail "pip could not install the dependencies; its message above names the one. Check the network and run this again."
    printf '%s' "$wanted" >"$stamp"
fi
