"""Starts threads until there are no more. Success: more of them than any contest program needs."""

import threading

threading.stack_size(32768)
stop = threading.Event()
made = 0
try:
    while made < 2000:
        threading.Thread(target=stop.wait).start()
        made += 1
except RuntimeError as error:
    print("refused:", error)
stop.set()
if made > 200:
    print("ESCAPED: made", made, "threads")
print("done")
