"""Makes hard links to the canary. Success: it has a second name."""

import json
import os

targets = json.loads(input())
for place in (".", "/tmp", targets["directory"]):
    for follow in (True, False):
        try:
            os.link(targets["canary"], f"{place}/{targets['mark']}-hard", follow_symlinks=follow)
            print("ESCAPED: linked it in", place)
        except (OSError, NotImplementedError) as error:
            print("refused:", error)
print("done")
