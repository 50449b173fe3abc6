#!/usr/bin/env bash
# Takes ATLAS away. The journal, the keys and the models stay, and K3s as well, unless told otherwise.
#   scripts/uninstall.sh --dry-run       what would go
#   sudo scripts/uninstall.sh            the pods
#   sudo scripts/uninstall.sh --k3s --data   everything
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/k3s.sh
k3s uninstall "$@"
