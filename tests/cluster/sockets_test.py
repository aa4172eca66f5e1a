"""Several sockets between two ranks, on a network that limits each flow: sockets_test.py TENON_PERF [unittest's arguments]

Run inside tests/cluster/run with 2 hosts and a rank on each. What each flow carried is counted by the hosts' packet filters,
which also drop what is more than its share. No test looks at how fast anything is.
"""

import json
import os
import subprocess
import sys
import time
import unittest

TENON_PERF = sys.argv.pop(1)
DEADLINE_S = 60
HOSTS = ("0", "1")
FLOW = "31 mbytes/second burst 512 kbytes"  # 250 Mbit/s
FILTER = """
table inet flows
delete table inet flows
table inet flows {
    set carried { type inet_service . inet_service; flags dynamic; counter; }
    set limited { type inet_service . inet_service; flags dynamic; }
    set cut { type inet_service . inet_service; }
    chain out {
        type filter hook output priority 0; policy accept;
        meta l4proto tcp update @carried { tcp sport . tcp dport }
    }
    chain in {
        type filter hook input priority 0; policy accept;
        tcp sport . tcp dport @cut drop
        meta l4proto tcp update @limited { tcp sport . tcp dport limit rate over %s } drop
    }
}
""" % FLOW
LARGE = 1 << 20  # bytes; other connections between the two carry far less


def on_host(k, *command, **options):
    return subprocess.run(["on-host", k, *command], check=True, capture_output=True, text=True, timeout=DEADLINE_S, **options)


def large_flows(host):
    """The ports of each flow that carried much from this host."""
    listed = json.loads(on_host(host, "nft", "-j", "list", "set", "inet", "flows", "carried").stdout)["nftables"]
    elements = next(entry["set"] for entry in listed if "set" in entry).get("elem", [])
    return [tuple(e["elem"]["val"]["concat"]) for e in elements if e["elem"]["counter"]["bytes"] >= LARGE]


class Sockets(unittest.TestCase):
    def setUp(self):
        for host in HOSTS:
            on_host(host, "nft", "-f", "-", input=FILTER)

    def start(self, sockets, *options):
        """`sockets`: what rank 0 and rank 1 would have."""
        choose = f"export TENON_SOCKETS_PER_PEER=$((RANK == 0 ? {sockets[0]} : {sockets[1]})); exec \"$@\""
        return subprocess.Popen(["ranks", "sh", "-c", choose, "sh", TENON_PERF, "all_to_all", "-b", "4M", "-e", "4M", "-c", "1", *options],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def expect_flows(self, sockets, count):
        with self.start(sockets, "-n", "10", "-w", "2") as job:
            said = job.communicate(timeout=DEADLINE_S)[0]
        self.assertEqual(job.returncode, 0, said)
        flows = [sorted(large_flows(host)) for host in HOSTS]
        self.assertEqual([len(f) for f in flows], [count, count])
        self.assertEqual(flows[0], sorted((far, near) for near, far in flows[1]), "the same sockets both ways")

    def test_all_carry_large_messages(self):
        self.expect_flows((4, 4), 4)

    def test_are_one_where_nobody_asks_for_more(self):
        self.expect_flows((1, 1), 1)

    def test_are_as_many_as_both_would_have(self):
        self.expect_flows((4, 2), 2)
        self.setUp()
        self.expect_flows((2, 3), 2)

    def test_one_that_is_cut_is_the_loss_of_the_peer(self):
        with self.start((4, 4), "-n", "1000000") as job:
            deadline = time.monotonic() + DEADLINE_S
            while len(large_flows("0")) < 4:
                self.assertLess(time.monotonic(), deadline, "not all sockets are used")
                self.assertIsNone(job.poll())
            near, far = sorted(large_flows("0"))[0]
            for host, flow in (("0", f"{far} . {near}"), ("1", f"{near} . {far}")):
                on_host(host, "nft", "add", "element", "inet", "flows", "cut", f"{{ {flow} }}")
            said = job.communicate(timeout=DEADLINE_S)[0]
        self.assertNotEqual(job.returncode, 0)
        self.assertRegex(said, r"rank \d on host\d has lost its connection to rank \d on host\d .*: socket \d of 4 between them: "
                               "the other side cannot be reached any more")


if __name__ == "__main__":
    unittest.main()
