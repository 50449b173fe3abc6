# shellcheck shell=bash
# Sourced by the other scripts: makes .venv with what is asked for and puts it first on the PATH.
# Needs bash and Python >= 3.10 with venv; no root. PYTHON=... chooses the interpreter.

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "ATLAS needs Python 3.10 or newer with venv (Debian, Ubuntu: apt install python3-venv; RHEL 9: dnf install python3.11)." >&2
    return 1
}

# ensure_venv EXTRAS: installs once for each state of pyproject.toml and constraints.txt.
ensure_venv() {
    local extras=$1 python stamp want
    python=$(find_python)
    stamp=.venv/installed-$extras
    want=$(cat pyproject.toml constraints.txt | cksum)
    if [ ! -x .venv/bin/python ]; then
        echo "Making .venv with $("$python" --version) ..." >&2
        "$python" -m venv .venv
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
        echo "Installing ATLAS [$extras] into .venv ..." >&2
        .venv/bin/python -m pip install --quiet --disable-pip-version-check \
            --constraint constraints.txt --editable ".[$extras]"
        echo "$want" > "$stamp"
    fi
    PATH="$PWD/.venv/bin:$PATH"
    export PATH
}
