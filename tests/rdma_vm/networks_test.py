"""What joins hosts when nobody says what should: networks_test.py TENON_PERF [unittest's arguments]

Runs in a VM with 3 hosts.
"""

import json
import os
import subprocess
import sys
import unittest

TENON_PERF = sys.argv.pop(1)
DEADLINE_S = 120
# A program under the limit that many systems set, as a user has it: root may pin more in spite of it.
WITH_LITTLE_PINNED_MEMORY = ["bash", "-c", 'ulimit -l 64; exec setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock "$0" "$@"']


def joined_by(warnings=None, prefix=()):
    """What joins rank 0 to the others, each on a host of its own, after calls whose results were right. Appends what was warned of."""
    environment = {name: value for name, value in os.environ.items() if name != "TENON_NETWORK"}
    options = ["--sizes", "8,64K", "-n", "5", "--batches", "1", "--format", "jsonl"]
    done = subprocess.run(["ranks", *prefix, TENON_PERF, "all_reduce", *options], check=True, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S)
    said = done.stdout
    if warnings is not None:
        warnings.append(done.stderr)
    rows = [json.loads(line) for line in said.splitlines()]
    assert rows and not any(row["wrong"] for row in rows), said
    return {row["transport"] for row in rows}


class Networks(unittest.TestCase):
    def test_are_rdma_where_all_have_it(self):
        self.assertEqual(joined_by(), {"rdma"})

    def test_are_tcp_to_a_host_that_lacks_it(self):
        subprocess.run(["on-host", "2", "mount", "-t", "tmpfs", "none", "/dev/infiniband"], check=True)
        try:
            warnings = []
            self.assertEqual(joined_by(warnings), {"rdma+tcp"})
            self.assertEqual(warnings[0].count("there is hardware for a quicker network on rank 2 (host2), which is not used: rdma: "), 1, warnings)
        finally:
            subprocess.run(["on-host", "2", "umount", "/dev/infiniband"], check=True)

    def test_are_tcp_where_too_little_memory_may_be_pinned(self):
        warnings = []
        self.assertEqual(joined_by(warnings, WITH_LITTLE_PINNED_MEMORY), {"tcp"})
        # Once for each rank, as each here has a device of another name; not once for each pair.
        self.assertEqual(warnings[0].count("there is hardware for a quicker network"), 3, warnings)
        self.assertIn("cannot pin 16777216 bytes of memory: this process may pin 65536 bytes of memory", warnings[0])
        self.assertIn("ulimit -l unlimited", warnings[0])

    def test_are_refused_where_rdma_is_asked_for_and_too_little_memory_may_be_pinned(self):
        refused = subprocess.run(["ranks", *WITH_LITTLE_PINNED_MEMORY, TENON_PERF, "all_reduce", "--sizes", "8"],
                                 env={**os.environ, "TENON_NETWORK": "rdma"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, timeout=DEADLINE_S)
        self.assertNotEqual(refused.returncode, 0)
        for words in ("cannot use the network: TENON_NETWORK=rdma: ", "cannot pin 16777216 bytes of memory",
                      "may pin 65536 bytes", "ulimit -l unlimited", "or use TENON_NETWORK=tcp"):
            self.assertEqual(refused.stderr.count(words), 3, refused.stderr)


if __name__ == "__main__":
    unittest.main()
