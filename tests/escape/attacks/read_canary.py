"""Reads files of the host by their names. Success: the secret in one of them is printed."""

import json

targets = json.loads(input())
for path in (targets["canary"], "/etc/passwd", "/etc/shadow", "/etc/hostname", "/root/.ssh/id_rsa"):
    try:
        with open(path) as file:
            print("ESCAPED:", file.read(200))
    except OSError as error:
        print("refused:", error)
print("done")
