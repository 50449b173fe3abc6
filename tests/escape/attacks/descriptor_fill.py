"""Opens descriptors until there are no more. Success: over 1,000 of them."""

import os

made = 0
try:
    while made < 2000:
        os.dup(0)
        made += 1
except OSError as error:
    print("refused:", error)
if made > 1000:
    print("ESCAPED: made", made, "descriptors")
os.closerange(3, 4096)
print("done")
