"""Slows others down and takes the processor for itself.

Success: the victim is niced, or it is real-time.
"""

import json
import os

victim = json.loads(input())["victim"]
for change in (
    lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
    lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
    lambda: os.nice(-5),
    lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)),
    lambda: os.sched_setaffinity(victim, {0}),
    lambda: os.sched_setaffinity(0, {0}),
):
    try:
        change()
        print("ESCAPED: scheduled")
    except OSError:
        pass
print("done")
