"""Runs byte code no compiler makes, which corrupts the interpreter. Success: anything but its own death."""


def function():
    pass


code = function.__code__
function.__code__ = code.replace(co_code=bytes([100, 255] * 8 + [83, 0] * 8), co_stacksize=0, co_consts=())
function()
ESCAPE = [function() for _ in range(1000)]
raise SystemExit(1)
