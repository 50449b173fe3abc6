"""Entry point of the launcher process: `python -s -S -B -X utf8 main.py CONTROL_FD ORDER_JSON`."""

import json
import socket
import sys
from pathlib import Path

_PROJECT = str(Path(__file__).parents[3])

if __name__ == "__main__":
    sys.path[0] = _PROJECT
    from services.sandbox.forkserver import launcher

    del sys.path[0]
    sys.path_importer_cache.pop(_PROJECT, None)
    fd, text = sys.argv[1:]
    sys.argv[:] = ["program.py"]
    launcher.main(socket.socket(fileno=int(fd)), launcher.Order(**json.loads(text)))
