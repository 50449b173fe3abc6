# shellcheck shell=bash
# Sourced by install.sh, verify-install.sh and uninstall.sh: `atlas k3s ...` in the repository's own venv.
# shellcheck source=scripts/lib/venv.sh
source scripts/lib/venv.sh

# k3s COMMAND ARGUMENTS...: in a venv that belongs to whoever called sudo, and has what v3_runner needs, too.
k3s() {
    local extras=benchmark,k8s
    case " $* " in
        ' install'*' --kubeconfig'*) extras=benchmark,charts,k8s ;; # no K3s there to render the chart
    esac
    ensure_venv "$extras"
    if [ -n "${SUDO_UID:-}" ] && [ "$(id -u)" = 0 ]; then
        chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" .venv
    fi
    exec python -m atlas.cli k3s "$@"
}
