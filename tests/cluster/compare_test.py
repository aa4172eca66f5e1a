"""What users see of perf/hosts/compare: compare_test.py MPI_PEER|- GLOO_PEER|- SOCKETS_PEER|- Limit|Table|Programs [unittest's arguments]

The programs are those that were built; for them status 77 where no cluster can be made. No test looks at how fast anything is.
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = [Path(program) for program in [sys.argv.pop(1) for _ in range(3)] if program != "-"]
COMPARE = ROOT / "perf/hosts/compare"
DEADLINE_S = 500  # on a machine that does much besides; about 15 alone
COLLECTIVES = "all_reduce,all_gather,reduce_scatter,all_to_all,broadcast,barrier"
sys.path.insert(0, str(COMPARE.parent))

import figures  # noqa: E402


def compare(*arguments):
    """The status, the table and the raw lines."""
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run([COMPARE, "--batch-ms", "1", "--rounds", "1", "--out", out.name, *map(str, arguments)],
                              capture_output=True, text=True, timeout=DEADLINE_S)
        return done.returncode, done.stdout, [json.loads(line) for line in Path(out.name).read_text().splitlines()]


def program_saying(folder, script):
    path = Path(folder, "tenon-perf")
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


class Limit(unittest.TestCase):
    def check(self, collective, hosts, ranks_per_host, expected):
        self.assertEqual(figures.limit_bytes(collective, 1200, hosts, ranks_per_host), expected)

    def test_counts_the_ranks_of_a_host_as_one(self):
        for ranks_per_host in (1, 2, 8):
            self.check("all_reduce", 4, ranks_per_host, 1800)
            self.check("all_gather", 4, ranks_per_host, 900)
            self.check("reduce_scatter", 4, ranks_per_host, 900)
            self.check("broadcast", 4, ranks_per_host, 1200)
            self.check("barrier", 4, ranks_per_host, 0)

    def test_of_an_all_to_all_grows_with_the_ranks_of_a_host(self):
        self.check("all_to_all", 4, 1, 900)
        self.check("all_to_all", 4, 2, 1800)

    def test_is_none_within_a_host(self):
        for collective in COLLECTIVES.split(","):
            self.check(collective, 1, 2, 0)

    def test_is_a_time_where_the_links_have_a_rate(self):
        self.assertAlmostEqual(figures.limit_us("broadcast", 125_000, 2, 1, 10**9), 1000)
        self.assertFalse(figures.limit_us("broadcast", 125_000, 2, 1, 0))


class Programs(unittest.TestCase):
    def test_that_are_not_there_have_a_row_that_says_so(self):
        status, table, _ = compare("--peers", "tenon", "--tenon-perf", "/missing/tenon-perf", "--collectives", "barrier")
        self.assertEqual(status, 1)
        self.assertIn("tenon/default failed**: there is no tenon-perf", table)

    def test_that_fail_have_a_row_with_what_they_said(self):
        with tempfile.TemporaryDirectory() as folder:
            program = program_saying(folder, '[ "$RANK" = 0 ] || echo no cable >&2; exit 3')
            status, table, rows = compare("--peers", "tenon", "--tenon-perf", program, "--collectives", "barrier,broadcast")
        self.assertEqual(status, 1)
        self.assertEqual(table.count("tenon/default failed**: exit status 3: no cable"), 2)
        self.assertEqual([row["collective"] for row in rows if "failed" in row], ["barrier", "broadcast"])

    def test_that_computed_wrong_data_failed(self):
        line = json.dumps({"peer": "tenon", "version": "1", "collective": "broadcast", "ranks": 2, "bytes": 8,
                           "inplace": True, "us_median": 2, "us_min": 1, "wrong": 3})
        with tempfile.TemporaryDirectory() as folder:
            program = program_saying(folder, f"[ $RANK != 0 ] || echo '{line}'")
            status, table, _ = compare("--peers", "tenon", "--tenon-perf", program, "--collectives", "broadcast")
        self.assertEqual(status, 1)
        self.assertIn("3 elements were wrong", table)

    def test_of_the_peers_measure_every_collective(self):
        for program in BUILT:
            peer = {"mpi_peer": "openmpi", "gloo_peer": "gloo", "sockets_peer": "sockets"}[program.name]
            with self.subTest(peer=peer):
                status, table, rows = compare("--peers", peer, "--peers-folder", program.parent, "--sizes", "4,8k")
                self.assertEqual(status, 0, table)
                for collective in COLLECTIVES.split(","):
                    found = {row["bytes"] for row in rows if row.get("collective") == collective}
                    smallest = 4 if collective in ("all_reduce", "broadcast") else 8  # a float for each rank
                    self.assertEqual(found, {0} if collective == "barrier" else {smallest, 8192}, collective)


class Table(unittest.TestCase):
    META = {"cpu": "?", "cores": 2, "kernel": "?", "load": "0.0", "hosts": 2, "ranks_per_host": 1, "rate": "1gbit",
            "rate_bits": 10**9, "rounds": 2, "batch_ms": 30, "collectives": ["broadcast"]}

    TIMES = [("tenon", "default", True, 2200), ("tenon", "default", True, 1800), ("tenon", "default", False, 1),
             ("openmpi", "default", True, 5000), ("openmpi", "ring", True, 1600), ("gloo", "default", True, 4000),
             ("sockets", "default", True, 1250)]

    def rows(self, times, bytes_=125_000):
        return [{"meta": self.META}] + [
            {"peer": peer, "setting": setting, "inplace": inplace, "us_median": time_us, "version": "1",
             "collective": "broadcast", "bytes": bytes_} for peer, setting, inplace, time_us in times]

    def lines(self, times):
        return figures.table(self.rows(times)).splitlines()

    def test_compares_the_median_of_the_rounds_of_the_best_setting(self):
        line = [word.strip() for word in self.lines(self.TIMES)[-1].strip("|").split("|")]
        self.assertEqual(line, ["broadcast", "125000 B", "2000", "0.0625", "5000", "1600", "0.0781", "4000", "0.0312",
                                "openmpi/ring", "1.25", "1000", "2.00", "1.60", "1250", "1.60"])

    def test_leaves_out_what_is_faster_than_the_links(self):
        usual = self.lines(self.TIMES)
        *lines, empty, note = self.lines([*self.TIMES, ("gloo", "default", True, 900)])
        self.assertEqual((lines, empty), (usual, ""))
        self.assertTrue(note.endswith("gloo/default broadcast 125000 B: 900"), note)

    def test_is_short_for_a_readme(self):
        def short(rows):
            with tempfile.NamedTemporaryFile("w") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))
                file.flush()
                done = subprocess.run([COMPARE, "--format", "markdown", "--from", file.name], capture_output=True, text=True,
                                      timeout=DEADLINE_S)
            about, table = done.stdout.split("\n\n")
            return done.returncode, about.replace("\n", " "), table.splitlines()

        status, about, table = short(self.rows(self.TIMES))
        self.assertEqual(status, 0)
        self.assertIn("between 2 hosts, 1 rank on each, over TCP and links of 1gbit", about)
        self.assertIn("Open MPI 1 and Gloo 1", about)
        self.assertEqual(table, ["| collective, bytes | best peer | Tenon | of the limit |", "|---|---|---|---|",
                                 "| broadcast, 125000 | 1,600 (Open MPI) | 2,000 |  |"])
        _, _, table = short(self.rows([("tenon", "default", True, 10_000), ("gloo", "ring", True, 20_000)], 1 << 20))
        self.assertEqual(table[-1], "| broadcast, 1 MiB | 20,000 (Gloo) | 10,000 | 0.84 |")
        status, about, table = short([*self.rows(self.TIMES[:2]), {"failed": "gloo/default", "collective": "broadcast", "why": "no cable"}])
        self.assertEqual(status, 1)
        self.assertIn("gloo/default failed in broadcast: no cable.", about)
        self.assertEqual(table[-1], "| broadcast, 125000 | none | 2,000 |  |")

    def bars(self, collective, bytes_, failed=(), **times):
        """The status, and what is said of the bars."""
        rows = [{"meta": self.META | {"collectives": [collective]}}] + [
            {"peer": peer, "setting": "default", "inplace": collective == "broadcast", "us_median": time_us, "version": "1", "collective": collective,
             "bytes": bytes_} for peer, time_us in times.items()] + [
            {"failed": label, "collective": collective, "why": "no cable"} for label in failed]
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
            file.flush()
            done = subprocess.run([COMPARE, "--bars", "--from", file.name], capture_output=True, text=True, timeout=DEADLINE_S)
        return done.returncode, done.stderr

    def test_holds_tenon_to_its_bars(self):
        limit_us = 16 * 2**20 * 8 / 1e3  # of a broadcast over 1 Gbit/s
        self.assertEqual(self.bars("broadcast", 16 << 20, tenon=limit_us / 0.91, openmpi=limit_us / 0.9), (0, ""))
        self.assertEqual(self.bars("barrier", 0, tenon=100, gloo=100), (0, ""))

    def test_says_which_bars_are_not_reached(self):
        limit_us = 16 * 2**20 * 8 / 1e3
        status, said = self.bars("broadcast", 16 << 20, tenon=limit_us / 0.8, openmpi=limit_us / 0.96)
        self.assertEqual(status, 1)
        self.assertRegex(said, r"\Acompare: [^\n]*broadcast, 16 MiB: Open MPI \(default\) takes [^\n]*: 1.20 times as long, [^\n]*\n"
                               r"compare: [^\n]*broadcast, 16 MiB: 0.80 of the link's limit, 0.9 is the bar\n\Z")
        status, said = self.bars("broadcast", 8 << 20, tenon=limit_us, gloo=limit_us * 2)
        self.assertEqual((status, said), (0, ""), "half the size has no bar of the link")
        status, said = self.bars("barrier", 0, tenon=100, gloo=90)
        self.assertEqual(status, 1)
        self.assertIn("barrier: Gloo (default) takes 90 us, Tenon 100: 1.11 times as long", said)
        status, said = self.bars("barrier", 0, ["tenon/default"], gloo=90)
        self.assertEqual(status, 1)
        self.assertIn("barrier: there is no figure of Tenon", said)
        self.assertIn("barrier: tenon/default failed", said)


if __name__ == "__main__":
    if "Programs" in sys.argv:
        probe = subprocess.run([ROOT / "tests/cluster/run", "--check", "--rate", "1gbit"], stderr=subprocess.PIPE, text=True)
        if probe.returncode == 77:
            print(probe.stderr, end="")
            sys.exit(77)
    unittest.main()
