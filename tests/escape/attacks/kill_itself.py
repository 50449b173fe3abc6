"""Dies by SIGKILL, as if the host had killed it. Success: the executor blames itself and tries again."""

import os
import resource
import signal
import threading

for send in (
    lambda: os.kill(os.getpid(), signal.SIGKILL),
    lambda: os.kill(0, signal.SIGKILL),
    lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGKILL),
    lambda: resource.setrlimit(resource.RLIMIT_CPU, (0, 0)),
):
    try:
        send()
    except (OSError, ValueError) as error:
        print("refused:", error)
print("done")
