"""Sleeps for an hour. Success: the slot is lost until then."""

import time

time.sleep(3600)
print("ESCAPED: nobody woke me")
