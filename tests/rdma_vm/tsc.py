"""How fast this machine's time stamp counter runs, which the emulator hands on to the VM as it is.

A guest finds out by itself with timers that a busy machine lets it read late: its clock then runs fast by half, and with it
every deadline in the VM.
"""

import ctypes
import mmap
import time

READ_COUNTER = bytes.fromhex("0f31" "48c1e220" "4809d0" "c3")  # rdtsc; shl rdx, 32; or rax, rdx; ret
LEAST_S = 0.05


def counter():
    """None where programs may not run what they have written: then the guest has to find out."""
    try:
        return Counter()
    except OSError:
        return None


class Counter:
    """Counts from when it is made."""

    def __init__(self):
        self.code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.code.write(READ_COUNTER)
        self.read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(self.code)))
        self.ticks, self.time_s = self.now()

    def now(self):
        """The counter and the time of one moment: of several tries, the one that was disturbed least."""
        tries = []
        for _ in range(10):
            before, ticks, after = time.monotonic(), self.read(), time.monotonic()
            tries.append((after - before, ticks, (before + after) / 2))
        return min(tries)[1:]

    def khz(self):
        while True:
            ticks, time_s = self.now()
            if time_s - self.time_s >= LEAST_S:
                return round((ticks - self.ticks) / (time_s - self.time_s) / 1000)
