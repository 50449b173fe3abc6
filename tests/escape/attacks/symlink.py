"""Makes symbolic links to the canary, reads and writes through them. Success: the secret is printed."""

import json
import os

targets = json.loads(input())
for place in ("", "/tmp/", targets["directory"] + "/"):
    for target in (targets["canary"], "/etc/passwd", "/proc/self/environ"):
        link = f"{place}{targets['mark']}-link"
        try:
            os.symlink(target, link)
            with open(link) as file:
                print("ESCAPED:", file.read())
            with open(link, "a") as file:
                file.write("more")
        except OSError as error:
            print("refused:", error)
print("done")
