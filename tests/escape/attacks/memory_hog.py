"""Allocates memory and touches it, for ever. Success: more of it than the limit."""

kept = []
while True:
    kept.append(bytearray(8 << 20))
    for page in range(0, 8 << 20, 4096):
        kept[-1][page] = 1
    if len(kept) > 40:
        print("ESCAPED: holds", len(kept) * 8, "MiB")
        break
