"""What tests rely on in tests/cluster/run, seen by its COMMAND: hosts_test.py Hosts|Pods [unittest's arguments]

Hosts runs in a cluster of 3 hosts, Pods in one of 4 with --rate 1gbit --uplink-rate 200mbit --mtu 1500.
"""

import contextlib
import ctypes
import os
import select
import socket
import subprocess
import time
import unittest

DEADLINE_S = 60
PORT = 5000
TCPI_RETRANSMITS = 2  # the third byte of the kernel's tcp_info


def enter_network_of(pid):
    with open(f"/proc/{pid}/ns/net") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def on_host(k):
    """Sockets that are made in here belong to host K, and can be used outside."""
    enter_network_of(os.environ["CLUSTER_PIDS"].split()[k])
    try:
        yield
    finally:
        enter_network_of(1)


class Connection:
    """TCP from host to host. What was asked is answered by whoever calls, at the other end."""

    def __init__(self, test, near, far, name="host{}", family=socket.AF_INET):
        with on_host(far):
            listener = socket.create_server(("", PORT), family=family)
        with listener, on_host(near):
            self.near = socket.create_connection((name.format(far), PORT), DEADLINE_S)
            self.far = listener.accept()[0]
        self.far.settimeout(DEADLINE_S)
        test.addCleanup(self.near.close)
        test.addCleanup(self.far.close)

    def works(self):
        self.near.sendall(b"ask")
        return self.comes_back()

    def comes_back(self):
        self.far.sendall(self.far.recv(3))
        return self.near.recv(3) == b"ask"

    def is_stuck(self):
        """Asks, and waits until TCP has sent that again twice: by then it would have arrived."""
        self.near.sendall(b"ask")
        deadline = time.monotonic() + DEADLINE_S
        while self.near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[TCPI_RETRANSMITS] < 2:
            if time.monotonic() > deadline or select.select([self.far], [], [], 0.01)[0]:
                return False
        return not select.select([self.far], [], [], 0)[0]


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)


class Test(unittest.TestCase):
    def do(self, *command):
        result = run(*command)
        self.assertEqual((result.returncode, result.stderr), (0, ""), command)
        return result.stdout

    def assert_cut_and_healed(self, words, cut, others):
        """One connection stands still while the link is cut, the others do not, and then the same one goes on."""
        self.assertTrue(cut.works())
        self.do("cut-link", *words)
        self.assertTrue(cut.is_stuck())
        for other in others:
            self.assertTrue(other.works())
        self.do("heal-link", *words)
        self.assertTrue(cut.comes_back())
        self.assertTrue(cut.works())


class Hosts(Test):
    def test_reach_each_other_by_name(self):
        for near, far in ((0, 1), (1, 2), (2, 0), (1, 1)):
            connection = Connection(self, near, far)
            self.assertTrue(connection.works())
            self.assertEqual(connection.far.getpeername()[0], f"10.77.0.{near + 1}")

    def test_differ_in_what_tells_hosts_apart(self):
        for path in ("/proc/sys/kernel/hostname", "/proc/sys/kernel/random/boot_id", "/sys/class/net/eth0/address"):
            self.assertEqual(len({self.do("on-host", k, "cat", path) for k in "012"}), 3, path)

    def test_go_by_number_name_and_address(self):
        for name in ("1", "host1", "10.77.0.2", "host1-ipv6", "fd77::2"):
            self.assertEqual(self.do("on-host", name, "hostname"), "host1\n")
        self.assertEqual(self.do("rsh-agent", "host2", "hostname;", "echo", "more  words"), "host2\nmore words\n")

    def test_can_be_cut_in_pairs(self):
        self.assert_cut_and_healed(["0", "host1"], Connection(self, 0, 1), [Connection(self, 0, 2), Connection(self, 2, 1)])

    def test_can_be_cut_from_all_others(self):
        self.assert_cut_and_healed(["1"], Connection(self, 0, 1), [Connection(self, 0, 2)])
        self.do("cut-link", "1")
        self.assertEqual(self.do("on-host", "1", "cat", "/sys/class/net/eth0/carrier"), "0\n")
        self.do("heal-link", "1")

    @unittest.skipUnless(os.environ.get("CLUSTER_ADDRESSES6"), "this kernel has no IPv6")
    def test_have_ipv6_too(self):
        pair, other = (Connection(self, near, 2, "host{}-ipv6", socket.AF_INET6) for near in (0, 1))
        self.assertEqual((pair.near.getpeername()[0], pair.far.getpeername()[0]), ("fd77::3", "fd77::1"))
        self.assert_cut_and_healed(["0", "2"], pair, [other])

    def test_that_are_none_give_one_line_and_status_2(self):
        for command in (["cut-link"], ["cut-link", "7"], ["heal-link", "0", "x"], ["cut-link", "uplink"], ["on-host", "7", "true"]):
            result = run(*command)
            self.assertEqual(result.returncode, 2, command)
            self.assertRegex(result.stderr, rf"\A{command[0]}: [^\n]+\n\Z")


class Pods(Test):
    def test_can_be_cut_from_each_other(self):
        self.assertEqual(os.environ["CLUSTER_POD_OF"], "0 0 1 1")
        self.assert_cut_and_healed(["uplink"], Connection(self, 0, 2), [Connection(self, 0, 1), Connection(self, 2, 3)])

    def test_have_the_links_that_were_asked_for(self):
        self.assertEqual(self.do("on-host", "3", "cat", "/sys/class/net/eth0/mtu"), "1500\n")
        for command in (["on-host", "3", "tc", "qdisc", "show", "dev", "eth0"], ["tc", "qdisc", "show", "dev", "port3"]):
            self.assertRegex(self.do(*command), "tbf .* rate 1Gbit ")
        for uplink in ("up0", "down0", "up1", "down1"):
            self.assertRegex(self.do("tc", "qdisc", "show", "dev", uplink), "tbf .* rate 200Mbit ")


if __name__ == "__main__":
    unittest.main()
