#!/usr/bin/env bash
# Checks an installed ATLAS from its nodes to one solved task; each check passes, or names its fix.
#   scripts/verify-install.sh [--no-task] [--json]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/k3s.sh
k3s verify "$@"
