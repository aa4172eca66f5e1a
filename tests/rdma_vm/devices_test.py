"""What tests rely on in tests/rdma_vm/run, seen by its COMMAND: devices_test.py [unittest's arguments]

Runs in a VM with 3 hosts of 2 devices each.
"""

import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
import time
import unittest
from pathlib import Path

DEADLINE_S = 60
VM_NETWORK = "/run/rdma_vm/network"  # where the devices' packets travel
PORTS = itertools.count(5000)
DEVICES = [f"rxe{k}{suffix}" for k in range(3) for suffix in ("", "_1")]


@contextlib.contextmanager
def within(namespace):
    """Sockets that are made in here belong to that network, and can be used outside."""
    with open(namespace) as inner, open("/proc/self/ns/net") as outer:
        enter(inner)
        try:
            yield
        finally:
            enter(outer)


def enter(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
        raise OSError(ctypes.get_errno(), "setns")


class Wire:
    """Sends packets between the d-th devices of two hosts as soft RoCE does: by UDP, each over its own link."""

    def __init__(self, test, near, far, d=0):
        self.ends = []
        port = next(PORTS)
        for host in (near, far):
            with within(VM_NETWORK):
                end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            test.addCleanup(end.close)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, f"rdma{host}{'_1' if d else ''}".encode())
            end.bind((f"10.78.{d}.{host + 1}", port))
            end.settimeout(0.2)
            self.ends.append(end)

    def carries(self, tries):
        """Whether one of so many packets arrives, for each direction."""
        return [any(self.one_arrives(*ends) for _ in range(tries)) for ends in (self.ends, self.ends[::-1])]

    @staticmethod
    def one_arrives(sender, receiver):
        with contextlib.suppress(OSError):  # an end without a carrier may refuse
            sender.sendto(b"word", receiver.getsockname())
        with contextlib.suppress(TimeoutError):
            return receiver.recv(100) == b"word"
        return False

    def works(self):
        return self.carries(tries=50) == [True, True]

    def is_cut(self):
        return self.carries(tries=3) == [False, False]


def do(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_S).stdout


def states():
    """Of those that are not up, by device."""
    found = {name: Path(f"/sys/class/infiniband/{name}/ports/1/state").read_text().split()[1] for name in DEVICES}
    return {name: state for name, state in found.items() if state != "ACTIVE"}


class Devices(unittest.TestCase):
    def assert_down(self, *names):
        expected = dict.fromkeys(names, "DOWN")
        deadline = time.monotonic() + DEADLINE_S
        while states() != expected and time.monotonic() < deadline:
            os.sched_yield()
        self.assertEqual(states(), expected)

    def test_are_each_hosts_own(self):
        files = [file for k in range(3) for file in sorted(do("on-host", str(k), "ls", "/dev/infiniband").split())]
        names = [Path(f"/sys/class/infiniband_verbs/{file}/ibdev").read_text().strip() for file in files]
        self.assertEqual(names, DEVICES)

    def test_can_be_cut_in_pairs(self):
        pairs, other = [Wire(self, 0, 1, d) for d in range(2)], Wire(self, 2, 1)
        self.assertTrue(all(pair.works() for pair in pairs))
        do("cut-link", "0", "host1")
        self.assertTrue(all(pair.is_cut() for pair in pairs))
        self.assertTrue(other.works())
        do("heal-link", "0", "host1")
        self.assertTrue(all(pair.works() for pair in pairs))

    def test_can_lose_the_cable_of_one_of_them(self):
        pairs = [Wire(self, 0, 1, d) for d in range(2)]
        do("cut-device", "1", "1")
        self.assert_down("rxe1_1")
        self.assertTrue(pairs[1].is_cut())
        self.assertTrue(pairs[0].works())
        do("heal-device", "1", "1")
        self.assert_down()
        self.assertTrue(pairs[1].works())

    def test_can_lose_their_cable(self):
        pair, other = Wire(self, 0, 1), Wire(self, 0, 2)
        self.assert_down()
        do("cut-link", "1")
        self.assert_down("rxe1", "rxe1_1")
        self.assertTrue(pair.is_cut())
        self.assertTrue(other.works())
        do("heal-link", "1")
        self.assert_down()
        self.assertTrue(pair.works())

    def test_of_hosts_that_are_none_are_refused(self):
        for name, *words in (["cut-link"], ["cut-link", "7"], ["cut-link", "0", "x"], ["cut-link", "uplink"], ["cut-device", "0"],
                             ["heal-device", "0", "2"], ["limit-device", "0", "1"]):
            done = subprocess.run([name, *words], capture_output=True, text=True, timeout=DEADLINE_S)
            self.assertEqual(done.returncode, 2, words)
            self.assertRegex(done.stderr, rf"\A{name}: [^\n]+\n\Z")


if __name__ == "__main__":
    unittest.main()
