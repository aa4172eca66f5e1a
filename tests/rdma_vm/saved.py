"""VMs that have booted, saved in a folder, so that others go on from there: what the emulator writes when a VM migrates.

Each is named after all that it is made of, and the rate of the clock that its kernel was told, so that none is found by those
who want another one. What is in place is whole, and any number of VMs at once may go on from it.
"""

import contextlib
import fcntl
import os

NEW = "new"
CLOSE = 1e-3  # of the clock's rates, which are measured on a busy machine


class States:
    def __init__(self, folder, key, tsc_khz):
        self.folder, self.key, self.tsc_khz = folder, key, tsc_khz

    def found(self):
        """The path of one, and its file; or None twice."""
        for path in self.folder.glob(f"{self.key}.*"):
            if abs(int(path.suffix[1:]) - self.tsc_khz) <= CLOSE * self.tsc_khz:
                with contextlib.suppress(FileNotFoundError):  # another one may be taking its place
                    return path, open(path, "rb", buffering=0)
        return None, None

    @contextlib.contextmanager
    def new(self):
        """A file that comes into place, instead of all others, if the caller leaves well; None while another is written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            try:
                with open(self.folder / NEW, "wb") as file:
                    yield file
                    os.fsync(file.fileno())
                self.put_into_place()
            finally:
                (self.folder / NEW).unlink(missing_ok=True)

    def put_into_place(self):
        for old in self.folder.glob("*.*"):
            old.unlink(missing_ok=True)
        (self.folder / NEW).rename(self.folder / f"{self.key}.{self.tsc_khz}")
