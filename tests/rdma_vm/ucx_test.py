"""UCX over RDMA devices: ucx_test.py TENON_PERF HOSTS_TEST [unittest's arguments]

Runs in a VM with 2 hosts and a rank on each.
"""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

TENON_PERF, HOSTS_TEST = sys.argv.pop(1), sys.argv.pop(1)
DEADLINE_S = 120
COUNTER = Path("/sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts")
DEVICE_PACKET_BYTES = 4096


def ranks(ways, *command):
    """What was printed, and what was logged; UCX has no other ways to a host than these."""
    environment = os.environ | {"UCX_TLS": ways, "TENON_LOG": "info"}
    done = subprocess.run(["ranks", *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


class Calls(unittest.TestCase):
    def check_calls(self, ways, puts_by):
        """Packed, eager and large messages, each right, and all by the device; the large are put, where it can."""
        sent_before = int(COUNTER.read_text())
        options = ["--memory", "tenon", "--sizes", "8,8K,1M", "-n", "2", "--batches", "1", "-c", "1", "--format", "jsonl"]
        said, logged = ranks(ways, TENON_PERF, "all_reduce", *options)
        rows = [json.loads(line) for line in said.splitlines()]
        self.assertEqual([(row["wrong"], row["transport"]) for row in rows], [(0, "ucx")] * 6, said)  # in place or not
        self.assertEqual([line for line in logged.splitlines() if " info: " not in line], [], logged)
        self.assertEqual("has registered, by " in logged, puts_by is not None, logged)
        if puts_by:
            self.assertIn(f"rank 0 puts large messages into memory that rank 1 on host1 has registered, by {puts_by}",
                          logged)
        self.assertGreater(int(COUNTER.read_text()) - sent_before, (1 << 20) // DEVICE_PACKET_BYTES)

    def test_takes_reliable_connections(self):
        self.check_calls("rc", puts_by="rc_verbs/rxe0:1")

    def test_takes_datagrams(self):
        self.check_calls("ud", puts_by=None)


class Samples(unittest.TestCase):
    def test_of_each_all_reduce_are_right(self):
        ranks("rc", HOSTS_TEST, "--gtest_brief=1", "--gtest_filter=Sample/*all_reduce*")


if __name__ == "__main__":
    unittest.main()
