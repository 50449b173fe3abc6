"""Reads the environment it was started with, by every way. Success: the secret in it is printed."""

import ctypes
import os

texts = [f"{name}={value}" for name, value in os.environ.items()]
pointer = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
at = 0
while pointer and pointer[at]:
    texts.append(pointer[at].decode())
    at += 1
secret = ctypes.CDLL(None).getenv
secret.restype = ctypes.c_char_p
texts.append(str(secret(b"ATLAS_ESCAPE_SECRET")))
for text in texts:
    if "atlas-secret-" in text or "PATH" in text.split("=")[0]:
        print("ESCAPED:", text)
print("done")
