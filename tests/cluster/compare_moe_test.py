"""What users see of perf/hosts/compare_moe: compare_moe_test.py MPI_MOE_PEER|- TENON_PERF [unittest's arguments]

Status 77 where no cluster can be made. No test looks at how fast anything is.
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEER, TENON_PERF = Path(sys.argv.pop(1)), sys.argv.pop(1)
COMPARE = ROOT / "perf/hosts/compare_moe"
DEADLINE_S = 500  # on a machine that does much besides; about 15 alone


def compare(*arguments):
    """The status, what was printed and said, and the raw lines."""
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run([COMPARE, "--out", out.name, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE_S)
        return done.returncode, done.stdout, done.stderr, [json.loads(line) for line in Path(out.name).read_text().splitlines()]


class Programs(unittest.TestCase):
    def test_measure_both_calls_every_way(self):
        has_peer = PEER.name != "-"
        folder = PEER.parent if has_peer else "/missing"
        status, table, said, rows = compare("--tenon-perf", TENON_PERF, "--peers-folder", folder, "--ranks-per-host", 2, "--model", "small", "--tokens", 8,
                                            "--rounds", 1, "--batch-ms", 1)
        if status == 77:
            sys.exit(status)
        self.assertEqual(status, 0 if has_peer else 1, table + said)
        for call in ("moe_dispatch", "moe_combine"):
            ways = {(row["peer"], row["path"]) for row in rows if row.get("collective") == call}
            open_mpi = {("openmpi", "all_to_all_v")} if has_peer else set()
            self.assertEqual(ways, {("tenon", "flat"), ("tenon", "hierarchical"), ("tenon", "all_to_all_v")} | open_mpi, call)
        self.assertEqual({row["wrong"] for row in rows if "wrong" in row}, {0})

    def test_that_are_not_there_are_named(self):
        status, table, _, _ = compare("--tenon-perf", "/missing/tenon-perf", "--peers-folder", "/missing", "--rounds", 1)
        self.assertEqual(status, 1)
        self.assertIn("failed: tenon/flat: there is no tenon-perf", table)


class Bars(unittest.TestCase):
    def bars(self, hosts, *times):
        """The status and what is said, of times in ms as (call, peer, path, setting, time)."""
        rows = [{"meta": {"hosts": hosts}}] + [
            {"collective": f"moe_{call}", "peer": peer, "path": path, "setting": setting, "time_us": ms * 1e3, "GBs": 1}
            for call, peer, path, setting, ms in times]
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
            file.flush()
            done = subprocess.run([COMPARE, "--bars", "--from", file.name], capture_output=True, text=True, timeout=DEADLINE_S)
        return done.returncode, done.stderr

    TENON = [("dispatch", "tenon", "flat", "flat", 80), ("dispatch", "tenon", "hierarchical", "hierarchical", 50)]

    def test_hold_for_the_better_way_and_the_best_setting(self):
        self.assertEqual(self.bars(2, *self.TENON, ("dispatch", "tenon", "all_to_all_v", "flat", 111),
                                   ("dispatch", "openmpi", "all_to_all_v", "default", 101)), (0, ""))
        status, said = self.bars(2, *self.TENON, ("dispatch", "tenon", "all_to_all_v", "flat", 109),
                                 ("dispatch", "openmpi", "all_to_all_v", "default", 120), ("dispatch", "openmpi", "all_to_all_v", "han", 90))
        self.assertEqual(status, 1)
        self.assertRegex(said, r"\Acompare_moe: [^\n]*dispatch: Tenon's hierarchical way 50.00 ms, a row for each expert [^\n]*: 2.18 times, and 2.2 are wanted\n"
                               r"compare_moe: [^\n]*\(han\) 90.00 ms: 1.80 times, and 2.0 are wanted\n\Z")

    def test_are_of_the_median_round(self):
        self.assertEqual(self.bars(2, *self.TENON, *[("dispatch", "openmpi", "all_to_all_v", "han", ms) for ms in (90, 101, 300)]), (0, ""))

    def test_on_one_host_compare_with_open_mpi_alone(self):
        self.assertEqual(self.bars(1, *self.TENON, ("dispatch", "tenon", "all_to_all_v", "flat", 60)), (0, ""))
        self.assertEqual(self.bars(1, *self.TENON, ("dispatch", "openmpi", "all_to_all_v", "default", 60))[0], 1)


if __name__ == "__main__":
    unittest.main()
