"""Maps shared anonymous memory, which is not on the heap, and touches it. Success: more than the limit."""

import mmap

kept = []
try:
    while len(kept) < 60:
        kept.append(mmap.mmap(-1, 8 << 20))
        for page in range(0, 8 << 20, 4096):
            kept[-1][page] = 1
except (OSError, ValueError, MemoryError) as error:
    print("refused:", error)
if len(kept) * 8 > 256:
    print("ESCAPED: holds", len(kept) * 8, "MiB")
print("done")
