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


def joined_by(warnings=None):
    """What joins rank 0 to the others, each on a host of its own, after calls whose results were right. Appends what was warned of."""
    environment = {name: value for name, value in os.environ.items() if name != "TENON_NETWORK"}
    options = ["--sizes", "8,64K", "-n", "5", "--batches", "1", "--format", "jsonl"]
    done = subprocess.run(["ranks", TENON_PERF, "all_reduce", *options], check=True, env=environment, stdout=subprocess.PIPE,
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


if __name__ == "__main__":
    unittest.main()
