"""A VM at work: the emulator, the job that goes in, what comes out of it."""

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time

from machine import OUTPUTS, PATHS
from monitor import Failed, Monitor

WORD_S = 60  # the emulator's own answers


class Output:
    """What comes out: the command's output and errors, passed on, and the VM's own words, which are kept."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.inner = {}  # the ends that the VM gets
        self.words = b""
        for name in OUTPUTS:
            outer, self.inner[name] = os.pipe()
            self.selector.register(outer, selectors.EVENT_READ, name)

    def line(self, name):
        """What the VM has said by that name, or None."""
        whole = self.words.decode().rpartition("\n")[0].splitlines()
        return next((line.removeprefix(name).split() for line in whole if line.split()[0] == name), None)

    def pass_on(self, deadline, until=None):
        """Until that line comes, or else until the VM is off; False where it came to something else, or took too long."""
        while self.selector.get_map() and not (until and self.line(until) is not None):
            ready = self.selector.select(max(0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                return False
            for key, _ in ready:
                self.read(key)
        return not until or self.line(until) is not None

    def read(self, key):
        got = os.read(key.fd, 65536)
        if not got:
            self.selector.unregister(key.fd)
            os.close(key.fd)
        elif key.data == "status":
            self.words += got
        else:
            stream = sys.stdout.buffer if key.data == "output" else sys.stderr.buffer
            stream.write(got)
            stream.flush()

    def close(self):
        for key in list(self.selector.get_map().values()):
            os.close(key.fd)
        self.selector.close()


class Vm:
    """Boots, or goes on from a state. Ends with its context, and with this process, however that ends."""

    def __init__(self, machine, state=None):
        self.began, self.output, self.is_resumed = time.monotonic(), Output(), state is not None
        # Files without a name: nothing is left of them.
        self.console, self.said = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.job, job = socket.socketpair()
        self.control, control = socket.socketpair()
        self.job.settimeout(WORD_S)
        self.control.settimeout(WORD_S)
        with tempfile.TemporaryFile() as first, job, control:
            first.write(machine.first_files)
            first.flush()
            ends = {"first": first.fileno(), "console": self.console.fileno(), "job": job.fileno(), "monitor": control.fileno(),
                    **self.output.inner}
            command = machine.emulator(ends, state and state.fileno())
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], env=os.environ | {"PATH": PATHS},
                                            stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said,
                                            pass_fds=[*ends.values(), *([state.fileno()] if state else [])])
        for descriptor in self.output.inner.values():
            os.close(descriptor)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.output.close()
        for end in (self.console, self.said, self.job, self.control):
            end.close()

    def says(self, name, within_s):
        return self.output.pass_on(self.began + within_s, name)

    def begins(self, job, within_s):
        """Whether the VM has taken up what it is to do."""
        try:
            self.job.sendall(job)
        except OSError:  # it is off, or takes nothing
            return False
        return self.says("begun", within_s)

    def save(self, file):
        try:
            Monitor(self.control).save(file)
        except OSError as error:
            raise Failed(str(error)) from error

    def last_words(self):
        """Of the emulator and of the VM's console."""
        for file in (self.said, self.console):
            file.seek(0)
        return "".join(file.read()[-2000:].decode(errors="replace") for file in (self.said, self.console))
