"""One operation in C that takes hours and does not look at signals. Success: the slot is lost."""

number = 7**4_000_000
while True:
    number = number * number % (number - 1) + 7**4_000_000
