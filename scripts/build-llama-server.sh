#!/usr/bin/env bash
# Builds the native llama-server with our patches (minutes, once) and prints the line for atlas.conf that makes
# `atlas up` start it:
#   scripts/build-llama-server.sh           for this machine's processor
#   scripts/build-llama-server.sh cuda      for an RTX 30, 40 or 50 (and GPU_DEVICE=0 in atlas.conf)
# More: services/llama-server/build.sh --help
set -euo pipefail
cd "$(dirname "$0")/.."

case " $* " in
    *' -h '* | *' --help '*) exec services/llama-server/build.sh --help ;;
esac
binary=$(services/llama-server/build.sh "$@")
echo "LLAMA_SERVER=$binary"
