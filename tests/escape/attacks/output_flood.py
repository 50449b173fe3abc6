"""Prints without end. Success: the executor takes it all."""

line = "x" * 10_000
while True:
    print(line)
