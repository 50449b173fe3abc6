#!/usr/bin/env bash
# The main job on the embedded default: sets up, pulls a real small model (0.5 GB), and runs the benchmark
# on 8 bundled tasks, once with one sample per task (A) and once with the full pipeline. No GPU, no cluster,
# no questions. The last two lines are the two results as JSON.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib/venv.sh

case "${1:-}" in
    -h | --help)
        echo "usage: scripts/demo.sh    (settings: atlas.conf or ATLAS_* variables; TASKS=8 tasks)"
        exit 0
        ;;
esac

ensure_venv embedded,benchmark
atlas models pull
results=$(mktemp)
trap 'rm -f "$results"' EXIT
for condition in A full; do
    python -m benchmark.v3_runner --dataset bundled --limit "${TASKS:-8}" --condition "$condition" --json >> "$results"
done
cat "$results"
