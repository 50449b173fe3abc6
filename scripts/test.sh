#!/usr/bin/env bash
# Sets up and passes the tests. Arguments go to pytest:
#   scripts/test.sh                           everything, with real servers and a real (tiny) model
#   scripts/test.sh -m 'not integration'      the fast part
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/venv.sh

ensure_venv embedded,benchmark,k8s,dev
exec python -m pytest "$@"
