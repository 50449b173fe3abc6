#!/usr/bin/env bash
# Installs ATLAS on this machine with K3s: looks at the machine, shows a plan, asks, and does it.
#   scripts/install.sh --dry-run      what is missing, and the plan; changes nothing but .venv
#   sudo scripts/install.sh           install, go on after an interruption, repair, or upgrade
#   sudo scripts/install.sh --cpu     without a GPU
# All options: scripts/install.sh --help. Settings: atlas.conf in this directory.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/k3s.sh
k3s install "$@"
