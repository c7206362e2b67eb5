# Sets up a checkout: system libraries, virtual environment, dependencies. Sourced by start.sh and test.sh.
#
# usage: . packaging/setup.sh EXTRA   where EXTRA is "" or an extra of pyproject.toml such as "test"
# Leaves $root (the checkout), $venv (the environment's folder) and $python (its interpreter).
# Quick when nothing has changed; an interrupted run is simply run again.

set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="$root/.venv"
python="$venv/bin/python"
extra=${1:-}

say() { printf '%s\n' "workbench setup: $*" >&2; }
fail() { say "$*"; exit 1; }

# Runs a command as root where that is permitted without asking for a password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 126; fi
}

# Whether an interpreter is there and of a version that the dependencies are built for.
suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in "${WORKBENCH_PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && suits "$candidate"; then command -v "$candidate"; return; fi
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
    known=$({ ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | awk '{print $1}')
    [ -n "$known" ] || return 0  # a system that doesn't say what it has: Qt will name what it misses
    for entry in $qt_libraries; do
        printf '%s\n' "$known" | grep -xF "${entry%%:*}" >/dev/null || printf '%s ' "${entry##*:}"
    done
    [ -n "$(find /usr/share/fonts -name '*.ttf' -print -quit 2>/dev/null)" ] || printf 'fonts-dejavu-core '
    # The tests measure over SSH on this very machine, with a server of their own. Where the system would run one as a
    # service too, it is not installed behind its owner's back; those tests are skipped there.
    if [ "$extra" = test ] && [ ! -d /run/systemd/system ]; then
        command -v ssh >/dev/null 2>&1 || printf 'openssh-client '
        [ -x /usr/sbin/sshd ] || command -v sshd >/dev/null 2>&1 || printf 'openssh-server '
    fi
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 || { say "please install the equivalents of these packages: $*"; return 1; }
    say "installing system packages: $*"
    # Package lists that can't be brought up to date may still do; a dead network must not hold everything up.
    if as_root env DEBIAN_FRONTEND=noninteractive sh -c '
        quick="-qq -o Acquire::Retries=1 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15"
        apt-get $quick update; apt-get $quick install -y --no-install-recommends "$@"' sh "$@" >&2
    then return 0; fi
    say "could not install them. An administrator can: sudo apt-get install $*"
    return 1
}

make_environment() {
    say "making a virtual environment in .venv"
    if "$base" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv; then
        "$base" -m venv --clear "$venv" >&2 && return
    elif "$base" -c 'import virtualenv' 2>/dev/null; then
        "$base" -m virtualenv --clear --quiet "$venv" >&2 && return
    else
        fail "Python's venv module is missing. Install python3-venv and run this again."
    fi
    fail "could not make a virtual environment in $venv. Is the folder writable, and the disk not full?"
}

if [ "$(uname -s)" = Linux ]; then
    packages=$(missing_packages)
    if [ -n "$packages" ]; then
        # shellcheck disable=SC2086
        install_packages $packages || say "going on without them; the window may not open until they are there"
    fi
fi

# An environment works only where it was made, with the interpreter and the pip that it was made with. One that somebody
# else made is used if it can be.
place="$venv/.workbench-root"
if ! { [ "$(cat "$place" 2>/dev/null || printf '%s' "$root")" = "$root" ] && suits "$python" && "$python" -c 'import pip'; } 2>/dev/null
then
    base=$(find_python) || { install_packages python3 python3-venv && base=$(find_python); } ||
        fail "needs Python 3.11, 3.12 or 3.13, found $(python3 --version 2>/dev/null || echo none). Install one, or name it in WORKBENCH_PYTHON."
    make_environment
fi
[ -e "$place" ] || printf '%s' "$root" >"$place" || fail "$venv can't be written. Make it yours, or remove it."

wanted=$(cat "$root/pyproject.toml" "$root/packaging/constraints.txt" "$root/packaging/setup.sh" | cksum)
stamp="$venv/.workbench-setup-$extra"
# What the tests need includes what the program needs.
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] && { [ -n "$extra" ] || [ "$(cat "${stamp}test" 2>/dev/null)" != "$wanted" ]; }
then
    say "installing dependencies (a few minutes the first time)"
    "$python" -m pip install --disable-pip-version-check --no-input --quiet \
        -c "$root/packaging/constraints.txt" -e "$root${extra:+[$extra]}" >&2 ||
        fail "pip could not install the dependencies; its message above names the one. Check network and disk and run this again."
    printf '%s' "$wanted" >"$stamp"
fi
