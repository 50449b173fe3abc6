"""Sets up io_uring, which makes calls that no filter sees. Success: a ring."""

import ctypes

libc = ctypes.CDLL(None, use_errno=True)
SETUP, ENTER, REGISTER = 425, 426, 427
parameters = (ctypes.c_uint * 64)()
results = [libc.syscall(SETUP, 8, parameters)]
# What a ring someone else left would need: any answer but "not permitted" or "no such call" is one too many.
for number in (ENTER, REGISTER):
    if libc.syscall(number, 999, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() not in (1, 38):
        results.append(number)
if any(result >= 0 for result in results):
    print("ESCAPED: io_uring answers", results)
print("done")
