"""What users see of perf/rdma/compare: compare_test.py TENON_PERF Reading|Bars|Programs [unittest's arguments]

Programs runs what was built and what was installed in the VM; status 77 where there is none, or no perftest. No test looks at
how fast anything is.
"""

import importlib.machinery
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TENON_PERF = sys.argv.pop(1)
ROOT = Path(__file__).resolve().parents[2]
COMPARE = ROOT / "perf/rdma/compare"
DEADLINE_S = 600
LATENCY = """----
 #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   99% percentile[usec]
 8       1000          16.06          7979.20      16.00              20.00          378.17          2450.30
----"""
BANDWIDTH = """ #bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   MsgRate[Mpps]
 1048576    20               64.42              {}                  0.000038"""


def load(path):
    loader = importlib.machinery.SourceFileLoader("compare", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
    sys.modules["compare"] = module
    loader.exec_module(module)
    return module


compare = load(COMPARE)


def tenon(median_us, **other):
    return json.dumps({"us_median": median_us, "p50_us": 20, "wrong": 0, "transport": "rdma"} | other)


def output(**changes):
    printed = {"ib_write_bw": BANDWIDTH.format(50), "stream": tenon(20_000), "stream_registered": tenon(16_000),
               "ib_write_bw_one": BANDWIDTH.format(40), "ib_send_lat": LATENCY, "ping_pong": tenon(30)} | changes
    return "".join(f"== {program}\n{lines}\n" for program, lines in printed.items())


class Reading(unittest.TestCase):
    def test_compares_round_by_round(self):
        others = output(ib_write_bw=BANDWIDTH.format(100), stream=tenon(8_000)) + output(ib_write_bw=BANDWIDTH.format(62.5))
        lines = compare.table(compare.rounds_of(output() + others)).splitlines()[2:]
        self.assertEqual([re.findall(r"[\d.]+", line.partition(",")[2]) for line in lines], [
            ["62.5", "50", "100", "50", "50", "125", "1.00", "0.90"],  # ratios 1, 1.25 and 0.8
            ["62.5", "50", "100", "62.5", "62.5", "62.5", "1.00", "0.90"],
            ["40", "40", "40", "62.5", "62.5", "62.5", "1.56"],  # which has no bar
            ["16", "16", "16", "20", "20", "20", "1.25", "1.30"],
            ["20", "20", "20", "30", "30", "30", "1.50", "1.30"]])

    def test_refuses_what_is_no_figure(self):
        for changes, reason in (({"ib_send_lat": "Couldn't connect to 10.77.0.2:18515"}, "Couldn't connect"),
                                ({"stream": "no device"}, "no device"), ({"stream": tenon(9, wrong=3)}, "3 bytes were wrong"),
                                ({"ping_pong": tenon(9, transport="tcp")}, "over tcp")):
            with self.assertRaisesRegex(compare.Unreadable, reason):
                compare.rounds_of(output(**changes))


class Bars(unittest.TestCase):
    def judge(self, **changes):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(output(**changes))
            file.flush()
            return subprocess.run([COMPARE, "--bars", "--from", file.name], capture_output=True, text=True, timeout=DEADLINE_S)

    def test_that_are_reached_give_status_0(self):
        done = self.judge(ping_pong=tenon(26, p50_us=20.8))  # 1.3 of each
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_that_are_not_are_a_line_each_and_status_1(self):
        done = self.judge(stream=tenon(23_000), ping_pong=tenon(27, p50_us=20.9))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"(?s)\Acompare: [^\n]*1 MiB[^\n]*: 0.870 of ib_write_bw, 0.90 or more is the bar\n"
                                      r"compare: [^\n]*, median: 1.306 of ib_send_lat, [^\n]*\n"
                                      r"compare: [^\n]*, mean: 1.350 of ib_send_lat, 1.30 or less is the bar\n\Z")

    def test_what_cannot_be_read_gives_status_1(self):
        done = self.judge(stream="no device")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no device", done.stderr)


class Programs(unittest.TestCase):
    def test_are_all_in_the_table(self):
        done = subprocess.run([COMPARE, "--rounds", "2", "--batches", "1", "--messages", "5", "--round-trips", "100",
                               "--tenon-perf", TENON_PERF], capture_output=True, text=True, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(re.findall(r"\*\*\d+\.\d\d\*\*", done.stdout)), len(compare.FIGURES), done.stdout)


def obstacle():
    if not shutil.which("ib_write_bw"):
        return "there is no perftest: tools/packages/install peers"
    return subprocess.run([ROOT / "tests/rdma_vm/run", "--check"], stderr=subprocess.PIPE, text=True).stderr


if __name__ == "__main__":
    reason = obstacle() if "Programs" in sys.argv else ""
    if reason:
        print(reason)
        sys.exit(77)
    unittest.main()
