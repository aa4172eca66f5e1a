"""What communicators say that they sent, beside what the hosts' interfaces carried: traffic_test.py TENON_PERF [unittest's arguments]

Run inside tests/cluster/run with 4 hosts and 2 ranks on each.
"""

import json
import os
import subprocess
import sys
import unittest

TENON_PERF = sys.argv.pop(1)
DEADLINE_S = 100
HOSTS = int(os.environ["CLUSTER_HOSTS"])
BYTES = 4 << 20
FEW, MANY = 2, 22  # calls
ADDED_BY_NETWORK = 0.06  # to the payload: headers of frames, of TCP and of the link, acknowledgements


def carried():
    """Bytes that each host has sent by its interface."""
    counter = "/sys/class/net/eth0/statistics/tx_bytes"
    return [int(subprocess.run(["on-host", str(host), "cat", counter], check=True, capture_output=True, timeout=DEADLINE_S).stdout)
            for host in range(HOSTS)]


def run(collective, calls):
    """tenon-perf's row, and what each host's interface sent meanwhile."""
    before = carried()
    done = subprocess.run(["ranks", TENON_PERF, collective, "--algorithm", "hierarchical", "-b", str(BYTES), "-e", str(BYTES),
                           "-n", str(calls), "-w", "1", "-c", "1", "--batches", "1", "--format", "jsonl"],
                          capture_output=True, text=True, timeout=DEADLINE_S)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    row = next((row for row in rows if row.get("inplace") is False), None)
    if done.returncode or row is None:
        raise AssertionError(f"status {done.returncode}: {done.stdout}{done.stderr}")
    return row, [later - earlier for earlier, later in zip(before, carried())]


class Traffic(unittest.TestCase):
    def expect(self, collective, leaving):
        """`leaving`: payload that must leave all hosts together in a call."""
        few, sent_by_few = run(collective, FEW)
        many, sent_by_many = run(collective, MANY)
        self.assertEqual(few["sent_bytes_leaving_hosts"], leaving)
        self.assertEqual(many["sent_bytes_leaving_hosts"], leaving)
        calls = (MANY - FEW) * 4  # as many again one by one, for the percentiles, and all that in place
        for host, (less, more) in enumerate(zip(sent_by_few, sent_by_many)):
            a_call = (more - less) / calls * HOSTS
            self.assertGreaterEqual(a_call, leaving * 0.999, f"host {host}")
            self.assertLessEqual(a_call, leaving * (1 + ADDED_BY_NETWORK), f"host {host}")

    def test_an_all_reduce_leaves_each_host_with_the_least_that_must(self):
        self.expect("all_reduce", HOSTS * 2 * (HOSTS - 1) * BYTES // HOSTS)

    def test_an_all_gather_sends_each_host_what_it_lacks_once(self):
        self.expect("all_gather", (HOSTS - 1) * BYTES)


class Moe(unittest.TestCase):
    """Dispatch and combine that hand rows on inside hosts."""

    def test_a_token_leaves_its_host_once_for_each_other_that_needs_it(self):
        before = carried()
        done = subprocess.run(["ranks", TENON_PERF, "moe", "--path", "hierarchical", "--hidden", "2048", "--tokens", "256", "-c", "1",
                               "--batches", "1", "-n", "20", "--format", "jsonl"], capture_output=True, text=True, timeout=DEADLINE_S)
        sent = sum(carried()) - sum(before)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        self.assertEqual((done.returncode, len(rows)), (0, 2), done.stdout + done.stderr)
        for row in rows:
            self.assertEqual(row["leaving_bytes"], row["least_leaving_bytes"], row["collective"])
        payload = sum(row["leaving_bytes"] * row["calls"] for row in rows)
        self.assertGreaterEqual(sent, payload)
        self.assertLessEqual(sent, payload * (1 + ADDED_BY_NETWORK))  # with all that is said before and between the calls


if __name__ == "__main__":
    unittest.main()
