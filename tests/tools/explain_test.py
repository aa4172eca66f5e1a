"""What users see of `tenon explain`: explain_test.py PROGRAM [unittest's arguments]"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1)
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TENON_")}
COLLECTIVES = ["all_reduce", "reduce", "broadcast", "reduce_scatter", "all_gather", "all_to_all", "gather", "scatter", "barrier"]
HOSTS = ["--groups", "4x2", "--link", "cluster:latency_ns=20000,part=1gbit"]
# Nobody has measured any such, so prices decide.
NESTED = ["--groups", "2x2x2", "--link", "supernode:latency_ns=2000,part=200gbit", "--link", "cluster:latency_ns=20000,part=1gbit"]


def tenon(*arguments, environment=None):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          env=CLEAN | (environment or {}))


def calls(test, *arguments, **options):
    result = tenon("explain", *arguments, "--format", "json", **options)
    test.assertEqual((result.returncode, result.stderr), (0, ""))
    return json.loads(result.stdout)["calls"]


class Explanations(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_name_the_choice_the_reason_and_what_each_would_take(self):
        result = tenon("explain", "all_reduce", "--bytes", "1M", *NESTED)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\A8 ranks: 4 server, 2 supernode, 1 cluster\n")
        self.assertRegex(result.stdout, r"all_reduce of 1m bytes: \w+ \(priced: ")
        self.assertRegex(result.stdout, r"\n  \* \w+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +(links of a cluster|cores|latency)\n")
        self.assertEqual(result.stdout.count("\n  * "), 1)

    def test_go_by_what_was_measured_on_such_layouts(self):
        call = calls(self, "all_reduce", "--bytes", "1M", *HOSTS)[0]
        self.assertEqual(call["reason"], "measured table for networks, 3 ranks or more, several ranks in a group")

    def test_as_json_the_choice_has_the_lowest_price(self):
        for call in calls(self, "all", "--bytes", "8,64K,16M", *NESTED):
            prices = {c["algorithm"]: c["predicted_us"] for c in call["candidates"] if "predicted_us" in c}
            self.assertEqual([c["algorithm"] for c in call["candidates"] if c["is_chosen"]], [call["chosen"]])
            self.assertLessEqual(prices[call["chosen"]], min(prices.values()) * 1.3, call)  # sizes are rounded up

    def test_cover_every_collective(self):
        self.assertEqual(sorted({c["collective"] for c in calls(self, "all", "--ranks", 4)}), sorted(COLLECTIVES))

    def test_what_cannot_serve_has_the_reason(self):
        call = calls(self, "all_gather", "--groups", "3x1")[0]
        obstacles = {c["algorithm"]: c["obstacle"] for c in call["candidates"] if "obstacle" in c}
        self.assertIn("power of two", obstacles["recursive_doubling"])

    def test_a_slow_link_makes_calls_slow(self):
        quick, slow = (calls(self, "all_gather", "--bytes", "16M", "--groups", "2x2", "--link", f"cluster:part={rate}")[0]
                       for rate in ("10gbit", "100mbit"))
        best = [min(c["predicted_us"] for c in call["candidates"] if "predicted_us" in c) for call in (quick, slow)]
        self.assertGreater(best[1], 20 * best[0])
        self.assertGreater(best[1], 8e6 * 8 / 100e6 * 1e6)  # half of it crosses

    def test_named_machines_are_known(self):
        for call in calls(self, "all", "--bytes", "1M", "--machine", "cloudmatrix384:supernodes=2"):
            self.assertEqual(call["ranks"], 1536)
            self.assertTrue(call["reason"].startswith("priced: "), call["reason"])

    def test_plans_can_be_proved(self):
        result = tenon("explain", "all_reduce", "--bytes", "1M", "--groups", "4x4", "--verify")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r"\Averified: the plans of 16 ranks of \w+ all_reduce are right; \d+ steps\n\Z")

    def test_tuning_files_count(self):
        path = self.folder / "tuned.txt"
        path.write_text("tenon tuning 1\nchoose ranks=8 hosts=4 all_reduce:0-1m=ring\n")
        call = calls(self, "all_reduce", "--bytes", "8", *HOSTS, environment={"TENON_TUNING_FILE": str(path)})[0]
        self.assertEqual((call["chosen"], call["reason"]), ("ring", "tuning file, for 8 ranks on 4 hosts, up to 1048576 bytes"))
        path.write_text("tenon tuning 1\nchoose all\n")
        result = tenon("explain", "all_reduce", environment={"TENON_TUNING_FILE": str(path)})
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"\Atenon: [^\n]*tuned.txt, line 2: [^\n]+\n\Z")

    def test_bad_input_is_one_line_and_exit_status_2(self):
        for arguments in ([], ["xor"], ["all_to_all_v"], ["all_reduce", "--bytes", "much"], ["all_reduce", "--type", "float31"],
                          ["broadcast", "--root", "4"], ["all_reduce", "--groups", "4x"], ["all_reduce", "--groups", "300x300"],
                          ["all_reduce", "--machine", "abacus"], ["all_reduce", "--machine", "cloudmatrix384:beads=3"],
                          ["all_reduce", "--link", "cluster:part=1gbit"], ["all_reduce", "--groups", "2x2", "--link", "cluster:part=fast"],
                          ["all_reduce", "--topology", "/no/such/file"], ["all_reduce", "--groups", "2x2", "--machine", "dgx_h100"]):
            result = tenon("explain", *arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertRegex(result.stderr, r"\Atenon: [^\n]+\n\Z", arguments)


class MixtureOfExperts(unittest.TestCase):
    def explained(self, *arguments):
        result = tenon("explain", "moe", *arguments, "--format", "json")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)

    def test_goes_once_to_a_node_where_links_between_nodes_are_slow(self):
        slow = ["--groups", "2x4", "--link", "cluster:latency_ns=20000,part=1gbit,rank=1gbit"]
        made = self.explained(*slow, "--hidden", 1024)
        self.assertEqual((made["chosen"], made["hierarchical"]["dispatch_limited_by"]), ("hierarchical", "links of a cluster"))
        self.assertAlmostEqual(made["per_expert_leaving_bytes"] / made["hierarchical"]["leaving_bytes"], 3.05, delta=0.03)
        cluster = made["hierarchical"]["levels"][-1]
        self.assertEqual((cluster["level"], round(cluster["dispatch_bytes"])), ("cluster", round(made["hierarchical"]["leaving_bytes"])))
        text = tenon("explain", "moe", *slow).stdout
        self.assertRegex(text, r"\n  \* hierarchical")
        self.assertRegex(text, r"node \(hierarchical\) +[\d.]+ +1.00\n")
        self.assertEqual(self.explained("--ranks", 8)["chosen"], "flat")

    def test_knows_named_machines(self):
        made = self.explained("--machine", "cloudmatrix384:supernodes=2")
        self.assertEqual(made["ranks"], 1536)
        # Two dies make a node, and hardly ever have two of a token's experts: there is nothing to save.
        self.assertAlmostEqual(made["flat"]["leaving_bytes"] / made["hierarchical"]["leaving_bytes"], 1, delta=0.01)
        self.assertEqual(made["chosen"], "flat")

    def test_bad_input_is_one_line(self):
        for arguments in (["--experts", "0"], ["--top-k", "65"], ["--type", "int32"], ["--layout", "x"], ["--measure"], ["--verify"]):
            result = tenon("explain", "moe", *arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertRegex(result.stderr, r"\Atenon: [^\n]+\n\Z", arguments)


class Measurements(unittest.TestCase):
    def test_of_a_job_stand_beside_the_predictions(self):
        result = tenon("run", "-n", 2, "--", PROGRAM, "explain", "all_gather", "--bytes", "8,64K", "--measure", "--round-ms", "1",
                       "--rounds", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("measured us", result.stdout)
        self.assertRegex(result.stdout, r"\* \w+ +[\d.]+ +[\d.]+ +[+-]\d+ ")


if __name__ == "__main__":
    unittest.main()
