"""What users see of tenon-perf: perf_test.py PROGRAM WRONG_SUMS [unittest's arguments]

WRONG_SUMS is a library to preload that falsifies sums of 1,000 floats on rank 1, and combines of 617 tokens. No test looks at how fast anything is.
"""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

PROGRAM, WRONG_SUMS = sys.argv.pop(1), sys.argv.pop(1)
DEADLINE_S = 120
QUICK = ["-n", "3", "-w", "1", "--batches", "3"]
EVERY_COLLECTIVE = ["all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "reduce", "gather", "scatter",
                    "all_to_all_v", "all_gather_v", "reduce_scatter_v", "sendrecv", "barrier"]
LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "TORCHELASTIC_", "OMPI_", "PMI", "SLURM_", "TENON_")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}


def perf(*arguments, environment=None):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE_S,
                          env=CLEAN | (environment or {}))


def figures(test, *arguments, **options):
    result = perf(*arguments, "--format", "jsonl", **options)
    test.assertEqual(result.returncode, 0, result.stderr)
    return [json.loads(line) for line in result.stdout.splitlines()]


class Devices(unittest.TestCase):
    def test_every_collective_gives_right_data_on_emulated_ones(self):
        for collective in EVERY_COLLECTIVE:
            for row in figures(self, collective, "--ranks", 2, "--device", "emulated", "--sizes", "8,64K", *QUICK):
                self.assertEqual((row["memory"], row["transport"]), ("device", "emulated"), row)
                self.assertEqual(row["wrong"] or 0, 0, row)  # a barrier has no data

    def test_of_a_kind_that_is_not_there_are_named(self):
        result = perf("all_reduce", "--ranks", 2, "--device", "abacus", *QUICK)
        self.assertEqual(result.returncode, 1)
        self.assertIn("there are no devices of kind 'abacus'", result.stderr)

    def test_are_not_for_what_uses_the_hosts_memory(self):
        for arguments in (["ping_pong"], ["init"], ["all_reduce", "--memory", "tenon"]):
            result = perf(*arguments, "--device", "emulated")
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertRegex(result.stderr, r"--(device|memory)[^\n]+host's memory")


class Table(unittest.TestCase):
    ROW = re.compile(r" {0,11}\d+ +\d+ +\w+ +\w+ +-?\d+" + r"  +[\d.]+  +[\d.]+  +[\d.]+  +(\d+|N/A)" * 2)

    def test_is_that_of_nccl_tests(self):
        result = perf("all_reduce", "--ranks", 2, "-b", 8, "-e", "1K", "-f", 4, *QUICK)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.splitlines()
        self.assertIn("# Collective test starting: all_reduce", lines)
        self.assertRegex(result.stdout, r"# nThread 1 nGpus \d+ minBytes 8 maxBytes 512 step: 4\(factor\) warmup iters: 1 iters: 3 ")
        self.assertEqual(len(re.findall(r"^#  Rank +\d Group +0 Pid +\d+ on +\S+ ", result.stdout, re.MULTILINE)), 2)
        rows = [line for line in lines if not line.startswith("#")]
        self.assertEqual([line.split()[0] for line in rows], ["8", "32", "128", "512"])
        for row in rows:
            self.assertRegex(row, self.ROW)
            self.assertEqual(row.split()[1:5], [str(int(row.split()[0]) // 4), "float", "sum", "-1"])
            self.assertEqual((row.split()[8], row.split()[12]), ("0", "0"))
        self.assertRegex(result.stdout, r"# Out of bounds values : 0 OK\n# Avg bus bandwidth    : \d")
        self.assertIn("# Collective test concluded: all_reduce", lines)

    def test_rows_name_percentiles_algorithm_and_transport(self):
        result = perf("broadcast", "--ranks", 2, "--sizes", 64, *QUICK, "--algorithm", "binomial")
        row = [line for line in result.stdout.splitlines() if not line.startswith("#")][0].split()
        self.assertEqual(row[-2:], ["binomial", "shm"])
        self.assertEqual(row[4], "0")
        low, middle, high = map(float, row[13:16])
        self.assertLessEqual(low, middle)
        self.assertLessEqual(middle, high)

    def test_without_checks_nothing_is_said_of_the_data(self):
        result = perf("all_reduce", "--ranks", 2, "--sizes", 64, *QUICK, "-c", 0)
        row = [line for line in result.stdout.splitlines() if not line.startswith("#")][0].split()
        self.assertEqual((row[8], row[12]), ("N/A", "N/A"))


class Figures(unittest.TestCase):
    def test_have_the_keys_of_the_peers(self):
        lines = figures(self, "allreduce", "--ranks", 2, "--sizes", "8,1000", *QUICK)
        self.assertEqual([(line["bytes"], line["inplace"]) for line in lines], [(8, False), (8, True), (1000, False), (1000, True)])
        for line in lines:
            self.assertEqual((line["peer"], line["collective"], line["ranks"], line["memory"]), ("tenon", "all_reduce", 2, "ordinary"))
            self.assertLessEqual(0, line["us_min"])
            self.assertLessEqual(line["us_min"], line["us_median"])
            self.assertAlmostEqual(line["algbw_GBs"] / (line["bytes"] / line["us_median"] / 1e3), 1, delta=0.01)
            self.assertAlmostEqual(line["busbw_GBs"], line["algbw_GBs"], delta=line["algbw_GBs"] / 100)
            self.assertLessEqual(line["p50_us"], line["p99_us"])
            self.assertEqual((line["wrong"], line["type"], line["op"], line["transport"]), (0, "float32", "sum", "shm"))
        self.assertRegex(lines[0]["version"], r"^\d+\.\d+\.\d+$")

    def test_say_what_a_call_sends(self):
        groups = {"TENON_GROUPS": "2x2"}
        ring = [*QUICK, "--ranks", 4, "--sizes", 4096, "--algorithm", "ring"]
        for line in figures(self, "all_gather", *ring, environment=groups):
            self.assertEqual((line["sent_bytes"], line["sent_bytes_leaving_hosts"]), ("server 6144; cluster 6144", 0))
        table = perf("all_gather", *ring, "--traffic", environment=groups).stdout
        self.assertIn("\n#   bytes a call sends, all ranks together: server 6144; cluster 6144; leaving hosts 0\n", table)
        self.assertNotIn("bytes a call sends", perf("all_gather", *ring, environment=groups).stdout)

    def test_in_csv_are_the_same(self):
        result = perf("all_gather", "--ranks", 2, "--sizes", 64, *QUICK, "--format", "csv")
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
        self.assertEqual([(row["collective"], row["bytes"], row["inplace"], row["wrong"]) for row in rows],
                         [("all_gather", "64", "false", "0"), ("all_gather", "64", "true", "0")])

    def test_of_every_collective_type_and_operation_are_right(self):
        for ranks in (1, 3):
            lines = figures(self, "all", "--ranks", ranks, "--sizes", "8,5000", "-d", "all", "-o", "all", "-n", 1, "-w", 1, "--batches", 1)
            self.assertEqual({line["collective"] for line in lines}, set(EVERY_COLLECTIVE))
            self.assertEqual({line["op"] for line in lines if line["collective"] == "all_reduce"},
                             {"sum", "prod", "max", "min", "avg", "mulsum"})
            self.assertEqual(len({line["type"] for line in lines}), 14)
            self.assertEqual([line for line in lines if line["wrong"] not in (0, None)], [])

    def test_threads_and_gpus_of_nccl_tests_are_ranks_of_one_process(self):
        for arguments, ranks in ((["-g", 1], 1), (["-g", 3], 3), (["-t", 2, "-g", 2], 4), (["--nthreads", 2, "--threads"], 2)):
            lines = figures(self, "all_reduce_perf", "-b", 8, "-e", 8, "-f", 2, *arguments, *QUICK)
            self.assertEqual({(line["ranks"], line["transport"]) for line in lines}, {(ranks, "inproc" if ranks > 1 else "self")}, arguments)
        table = perf("all_reduce_perf", "-b", 8, "-e", 8, "-g", 2, *QUICK).stdout
        self.assertIn("# nThread 2 nGpus 0 ", table)

    def test_threads_and_memory_of_the_library(self):
        for line in figures(self, "all_reduce", "all_to_all", "--ranks", 3, "--threads", "--memory", "tenon", "--sizes", "60,60K", *QUICK):
            self.assertEqual((line["transport"], line["memory"], line["wrong"]), ("inproc", "tenon", 0))

    def test_all_algorithms_are_compared(self):
        lines = figures(self, "all_reduce", "--ranks", 3, "--sizes", 3000, "--algorithm", "all", *QUICK)
        names = {line["algorithm"] for line in lines}
        self.assertLessEqual({"one_shot", "two_shot", "recursive_doubling", "rabenseifner", "ring", "double_binary_tree"}, names)
        eligible = {line["algorithm"] for line in
                    figures(self, "all_reduce", "--ranks", 3, "--sizes", 3000, "--algorithm", "all", "--deterministic", *QUICK)}
        self.assertIn("one_shot", eligible)
        self.assertNotIn("ring", eligible)

    def test_every_root_in_turn(self):
        for every in (-1, "all"):
            lines = figures(self, "reduce", "--ranks", 3, "-r", every, "--sizes", 64, *QUICK)
            self.assertEqual([line["root"] for line in lines if not line["inplace"]], [0, 1, 2])

    def test_sizes_too_small_for_a_rank_are_raised_once(self):
        self.assertEqual([line["bytes"] for line in figures(self, "all_to_all", "--ranks", 4, "--sizes", "4,8,16,40", *QUICK) if not line["inplace"]],
                         [16, 32])

    def test_init_is_timed(self):
        line = figures(self, "init", "--ranks", 3)[0]
        self.assertEqual((line["collective"], line["ranks"]), ("init", 3))
        self.assertGreater(line["us_median"], 0)


class BetweenTwoRanks(unittest.TestCase):
    def test_messages_and_registrations_are_timed(self):
        for memory in ("ordinary", "tenon"):
            lines = figures(self, "ping_pong", "stream", "registration", "--ranks", 3, "--sizes", "8,300K", "--memory", memory, *QUICK)
            self.assertEqual([(line["collective"], line["bytes"]) for line in lines],
                             [(name, size) for name in ("ping_pong", "stream", "registration") for size in (8, 300 << 10)])
            for line in lines:
                self.assertGreater(line["us_median"], 0)
                self.assertLessEqual(line["us_min"], line["us_median"])
                if line["collective"] == "registration":
                    self.assertEqual(line["algorithm"], "registers nothing")
                    self.assertEqual((line["algbw_GBs"], line["busbw_GBs"]), (None, None))
                else:
                    self.assertGreater(line["algbw_GBs"], 0)

    def test_one_rank_has_nobody_to_send_to(self):
        lines = figures(self, "stream", "--ranks", 1, "--sizes", 8, *QUICK)
        self.assertEqual(len(lines), 1)


class Moe(unittest.TestCase):
    SMALL = ["moe", "--model", "small", "--hidden", 64, "--tokens", 50, *QUICK]

    def test_checks_and_times_dispatch_and_combine(self):
        rows = figures(self, *self.SMALL, "--ranks", 4, "--routing", "uniform,zipf-0.9", "-d", "bfloat16,half,float")
        self.assertEqual([(row["routing"], row["type"], row["collective"]) for row in rows],
                         [(routing, kind, call) for routing in ("uniform", "zipf-0.9") for kind in ("bfloat16", "float16", "float32")
                          for call in ("moe_dispatch", "moe_combine")])
        for row in rows:
            self.assertEqual((row["wrong"], row["ranks"], row["tokens"], row["hidden"]), (0, 4, 50, 64))
            self.assertGreater(row["GBs"], row["others_GBs"])
            self.assertLessEqual(row["p50_us"], row["p95_us"])
            self.assertLessEqual(row["p95_us"], row["p99_us"])
            self.assertGreaterEqual(row["imbalance"], 1)
        # An uneven router makes uneven loads.
        self.assertGreater(rows[6]["imbalance"], rows[0]["imbalance"])

    def test_every_model_runs_as_threads_with_memory_that_is_shared_too(self):
        models = ["v3", "v4-pro", "v4-flash", "mixtral", "small"]
        rows = figures(self, "moe", "--model", ",".join(models), "--hidden", 32, "--tokens", 8, "--threads", "--ranks", 2,
                       "--memory", "tenon", *QUICK)
        self.assertEqual([row["model"] for row in rows[::2]], models)
        self.assertEqual({(row["wrong"], row["transport"], row["memory"]) for row in rows}, {(0, "inproc", "tenon")})
        rows = figures(self, "moe", "--model", "v3", "--hidden", 32, "--tokens", 8, "--ranks", 3, "--layout", "rank", *QUICK)
        self.assertEqual([(row["wrong"], row["layout"]) for row in rows], [(0, "rank")] * 2)

    def test_quantised_rows_count_with_their_scales(self):
        rows = figures(self, "moe", "--model", "small", "--hidden", 256, "--tokens", 50, "--ranks", 2, "-d", "float8_e4m3,int8", *QUICK)
        self.assertEqual([(row["collective"], row["type"], row["wrong"]) for row in rows],
                         [(call, of, 0) for of in ("float8_e4m3", "int8") for call in ("moe_dispatch", "moe_combine")])
        sent = [row["inside_bytes"] for row in rows]
        tokens = sent[0] // (256 + 2 * 4)
        self.assertEqual(sent[0], tokens * (256 + 2 * 4))
        self.assertEqual(sent[2], tokens * (256 + 4))
        self.assertEqual(sent[1], sent[3])

    def test_hierarchical_sends_a_token_once_to_a_node(self):
        # Of 384 experts, 6 for each token, half are on the other of two nodes: 0.985 of the tokens need it, for 3 experts each.
        shape = ["moe", "--model", "v4-pro", "--hidden", 16, "--tokens", 512, "--threads", "--ranks", 8, *QUICK]
        crossing = {}
        for path in ("flat", "hierarchical"):
            rows = figures(self, *shape, "--path", path, environment={"TENON_GROUPS": "2x4"})
            self.assertEqual([(row["wrong"], row["path"]) for row in rows], [(0, path)] * 2)
            crossing[path] = rows[0]["crossing_rows"] / (8 * 512)
        self.assertAlmostEqual(3 / crossing["hierarchical"], 3.05, delta=0.03)
        self.assertGreater(crossing["flat"], 2 * crossing["hierarchical"])

    def test_every_routing_is_checked_and_its_traffic_counted(self):
        routings = ["uniform", "zipf-0.38", "hot-rank-1.3", "hot-expert-30", "group-limited-4", "masked-0.1", "uneven", "idle-rank"]
        shape = ["moe", "--model", "v4-pro", "--hidden", 16, "--tokens", 64, "--threads", "--ranks", 4, *QUICK]
        with tempfile.TemporaryDirectory() as folder:
            picture = os.path.join(folder, "traffic.svg")
            rows = figures(self, *shape, "--routing", ",".join(routings), "--path", "hierarchical", "--against", "all_to_all_v", "--svg",
                           picture, environment={"TENON_GROUPS": "2x2"})
            with open(picture) as file:
                svg = file.read()
        ways = [(path, call) for path in ("hierarchical", "all_to_all_v") for call in ("moe_dispatch", "moe_combine")]
        self.assertEqual([(row["routing"], row["path"], row["collective"]) for row in rows],
                         [(routing, *way) for routing in routings for way in ways])
        for row in rows:
            self.assertEqual(row["wrong"], 0)
            self.assertIn(row["straggler"], range(4))
            self.assertGreaterEqual(row["straggles"], 1)
            if row["path"] == "hierarchical":  # the least that can be, exactly
                self.assertEqual(row["leaving_bytes"], row["least_leaving_bytes"])
                self.assertEqual(row["leaving_bytes"], row["crossing_rows"] * 16 * 2)
            else:
                self.assertGreater(row["leaving_bytes"], row["least_leaving_bytes"])
        self.assertEqual(svg.count("bytes of a dispatch"), len(routings))
        self.assertEqual(svg.count("rank 0 to rank 3:"), len(routings))

    def test_a_recorded_routing(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "routing")
            with open(path, "w") as file:
                file.write("tenon-moe-routing 1\nranks 2 experts 8 top_k 2\n0 7 0\n0 4 -1\n1 0 1\n")
            rows = figures(self, "moe", "--model", "small", "--hidden", 8, "--routing", f"file:{path}", "--ranks", 2, *QUICK)
            # Rank 0 receives a token from each rank, rank 1 two from rank 0.
            self.assertEqual([(row["wrong"], row["tokens"], row["inside_bytes"]) for row in rows], [(0, 2, 3 * 16), (0, 2, 4 * 16)])
            self.assertIn("use --ranks 2", perf("moe", "--routing", f"file:{path}", "--ranks", 3, *QUICK).stderr)
            with open(path, "a") as file:
                file.write("0 9 0\n")
            self.assertIn("routing, line 6: the expert in slot 0 is '9'", perf("moe", "--routing", f"file:{path}", "--ranks", 2, *QUICK).stderr)

    def test_the_table_and_csv_hold_the_same(self):
        table = perf(*self.SMALL, "--ranks", 1)
        self.assertEqual(table.returncode, 0, table.stderr)
        rows = [line.split() for line in table.stdout.splitlines() if line and not line.startswith("#")]
        self.assertEqual([(row[0], row[1], row[2], row[-2], row[-1]) for row in rows],
                         [("small", "uniform", call, "0", "self") for call in ("dispatch", "combine")])
        sheet = perf(*self.SMALL, "--ranks", 1, "--format", "csv").stdout
        sheet = list(csv.DictReader(io.StringIO(sheet[sheet.index("model,"):])))
        self.assertEqual([row["call"] for row in sheet], ["dispatch", "combine"])

    def test_wrong_results_are_told(self):
        result = perf("moe", "--model", "small", "--hidden", 64, "--tokens", 617, "--ranks", 2, *QUICK, "--format", "jsonl",
                      environment={"LD_PRELOAD": WRONG_SUMS})
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual([json.loads(line)["wrong"] > 0 for line in result.stdout.splitlines()], [False, True])

    def test_bad_input(self):
        for arguments, words in ((["--model", "gpt"], "none of v3"), (["--routing", "zipf-2"], "none of uniform"), (["-d", "int32"], "no type of moe"),
                                 (["-d", "int8", "--against", "all_to_all_v"], "no quantised rows"),
                                 (["--tokens", "0"], "--tokens"), (["--path", "x"], "flat, hierarchical or auto"), (["--hidden", "-1"], "--hidden"),
                                 (["--against", "mpi"], "must be all_to_all_v"), (["--against", "all_to_all_v", "--layout", "rank"], "--layout expert")):
            result = perf("moe", *arguments)
            self.assertEqual(result.returncode, 2)
            self.assertEqual(len(result.stderr.splitlines()), 1)
            self.assertIn(words, result.stderr)


class Links(unittest.TestCase):
    def test_every_pair_has_a_latency_and_a_bandwidth(self):
        lines = figures(self, "links", "--ranks", 3)
        self.assertEqual(sorted((line["from"], line["to"]) for line in lines),
                         [(a, b) for a in range(3) for b in range(3) if a != b])
        for line in lines:
            self.assertGreater(line["latency_us"], 0)
            self.assertGreater(line["bandwidth_GBs"], 0)

    def test_they_are_drawn(self):
        with tempfile.TemporaryDirectory() as folder:
            result = perf("links", "--ranks", 2, "--svg", folder + "/links.svg")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("latency of 8 bytes", result.stdout)
            self.assertNotIn("\033[", result.stdout)
            for line in (r"# latency on one host: best [\d.]+ us, .* of 1 pair is at least 1.5 times as slow as the best",
                         r"#   slow(est)?: 0 \(.*\) and 1 \(.*\): [\d.]+ us, 1.0 times as slow",
                         r"# bandwidth on one host: best [\d.]+ GB/s, .* of 2 pairs are"):
                self.assertRegex(result.stdout, line)
            self.assertEqual(len(re.findall(r"#   slow(?:est)?: .* us, ", result.stdout)), 1)
            self.assertEqual(xml.etree.ElementTree.parse(folder + "/links.svg").getroot().tag,
                             "{http://www.w3.org/2000/svg}svg")

    def test_only_slow_ones_are_named_or_the_slowest(self):
        shown = perf("links", "--ranks", 3).stdout
        for unit in ("us", "GB/s"):
            named = [(how, float(times)) for how, times in re.findall(rf"#   (slow|slowest): .* {unit}, ([\d.]+) times as slow", shown)]
            self.assertTrue(named, shown)
            if len(named) > 1:
                self.assertEqual({how for how, _ in named}, {"slow"}, shown)
                self.assertGreaterEqual(min(times for _, times in named), 1.5, shown)

    def test_they_are_in_colour_on_request(self):
        self.assertIn("\033[48;2;", perf("links", "--ranks", 2, "--color", "always").stdout)
        self.assertIn("\033[48;2;", perf("links", "--ranks", 2, environment={"CLICOLOR_FORCE": "1"}).stdout)
        self.assertEqual(perf("links", "--ranks", 2, "--color", "blue").returncode, 2)

    def test_a_picture_that_cannot_be_written_is_said_so(self):
        result = perf("links", "--ranks", 2, "--svg", "/no/such/folder/links.svg")
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write /no/such/folder/links.svg", result.stderr)


class Failures(unittest.TestCase):
    def test_wrong_data_are_counted_and_give_status_1(self):
        for how in ([], ["--threads"]):
            result = perf("all_reduce", "--ranks", 2, "--sizes", "2000,4000", *QUICK, *how, environment={"LD_PRELOAD": WRONG_SUMS})
            self.assertEqual(result.returncode, 1)
            rows = [line.split() for line in result.stdout.splitlines() if not line.startswith("#")]
            # Found by the first check and by the one of the last batch.
            self.assertEqual([(row[0], row[8], row[12]) for row in rows], [("2000", "0", "0"), ("4000", "2", "2")])
            self.assertIn("# Out of bounds values : 4 FAILED", result.stdout)

    def test_a_rank_that_dies_is_named_and_ends_the_run(self):
        process = subprocess.Popen([PROGRAM, "all_reduce", "--ranks", "3", "--sizes", "8", "-n", "16000000", "-c", "0"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN)
        ranks = [int(match.group(1)) for match in
                 (re.match(r"#  Rank +\d+ Group +0 Pid +(\d+) ", process.stdout.readline()) for _ in range(8)) if match]
        self.assertEqual(len(ranks), 3)
        os.kill(ranks[1], signal.SIGKILL)
        _, errors = process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, 128 + signal.SIGKILL)
        self.assertIn("tenon-perf: rank 1 was ended by signal 9 (SIGKILL)", errors)
        for pid in ranks:
            with self.assertRaises(ProcessLookupError):
                os.kill(pid, 0)

    def test_an_interrupt_ends_all_ranks(self):
        process = subprocess.Popen([PROGRAM, "all_reduce", "--ranks", "2", "--sizes", "8", "-n", "16000000"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN)
        self.assertTrue(any(line.startswith("#  Rank") for line in process.stdout))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)

    def test_a_reader_who_leaves_ends_the_run(self):
        process = subprocess.Popen([PROGRAM, "all_reduce", "--ranks", "2", *QUICK], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env=CLEAN)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(timeout=DEADLINE_S), 128 + signal.SIGPIPE)

    def test_rows_that_an_algorithm_cannot_serve_are_left_out(self):
        result = perf("all_reduce", "--ranks", 2, "--sizes", "8,2M", "--algorithm", "one_shot", *QUICK, "--format", "jsonl")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual({json.loads(line)["bytes"] for line in result.stdout.splitlines()}, {8})
        self.assertEqual(result.stderr, "tenon-perf: left out: all_reduce of 2097152 bytes of float32: one_shot serves blocks of at "
                                        "most 1048576 bytes, this is 2097152\n")

    def test_an_algorithm_that_serves_no_row_is_bad_input(self):
        for arguments, words in ((["all_gather", "--algorithm", "recursive_doubling"], "recursive_doubling of all_gather needs a power of two of ranks, there are 3"),
                                 (["all_reduce", "--algorithm", "ring", "--deterministic"], "ring of all_reduce does not add in the order of the tree"),
                                 (["all_reduce", "--algorithm", "one_shot", "--sizes", "2M"], "one_shot of all_reduce serves blocks of at most"),
                                 (["all_reduce", "--algorithm", "no_such"], "all_reduce has no algorithm 'no_such'; there are: one_shot, ")):
            result = perf(*arguments, "--ranks", 3)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertRegex(result.stderr, rf"\Atenon-perf: --algorithm: {words}[^\n]*\n\Z")

    def test_bad_input_is_one_line_and_exit_status_2(self):
        for arguments in ([], ["no_such"], ["all_reduce", "-b", "16", "-e", "8"], ["all_reduce", "--sizes", "0"],
                          ["all_reduce", "--sizes", "8,x"], ["all_reduce", "-f", "1"], ["all_reduce", "-f", "2", "-i", "8"],
                          ["all_reduce", "-d", "float31"], ["all_reduce", "-o", "sum,xor"], ["broadcast", "-r", "2", "--ranks", "2"], ["broadcast", "-r", "-2"], ["broadcast", "-r", "x"],
                          ["all_reduce", "--ranks", "0"], ["all_reduce", "--algorithm", "no_such"], ["all_reduce", "--format", "xml"],
                          ["all_reduce", "--memory", "gpu"], ["all_reduce", "-n", "0"], ["all_reduce", "--bogus"],
                          ["all_reduce", "-g", "2", "--ranks", "2"], ["all_reduce", "-g", "0"], ["all_reduce", "-t", "100", "-g", "100"]):
            result = perf(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertEqual(result.stdout, "")
            self.assertRegex(result.stderr, r"\Atenon-perf: [^\n]+\n\Z")

    def test_a_wrong_variable_is_one_line_and_exit_status_2(self):
        result = perf("all_reduce", "--ranks", 2, environment={"TENON_SPIN": "much"})
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"\Atenon-perf: TENON_SPIN=much [^\n]+\n\Z")


class Launchers(unittest.TestCase):
    def test_start_one_rank_for_each_process(self):
        result = perf("all_reduce", "-g", 2, environment={"RANK": "0", "WORLD_SIZE": "2", "TENON_JOB": "perf-test"})
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"\Atenon-perf: -t and -g: a process of a launcher is one rank, not 2; [^\n]+\n\Z")

    def run_ranks(self, of_rank):
        ranks = [subprocess.Popen([PROGRAM, "all_reduce", "--sizes", "64", "-g", "1", *QUICK, "--format", "jsonl"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, env=CLEAN | of_rank(rank)) for rank in range(2)]
        outputs = [rank.communicate(timeout=DEADLINE_S) for rank in ranks]
        self.assertEqual([rank.returncode for rank in ranks], [0, 0], outputs)
        lines = [json.loads(line) for line in outputs[0][0].splitlines()]
        self.assertEqual([(line["ranks"], line["wrong"]) for line in lines], [(2, 0), (2, 0)])
        self.assertEqual(outputs[1][0], "")

    def test_torchrun(self):
        self.run_ranks(lambda rank: {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2",
                                     "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "TORCHELASTIC_RUN_ID": f"perf-test-{os.getpid()}"})

    def test_tenon_run(self):
        self.run_ranks(lambda rank: {"RANK": str(rank), "WORLD_SIZE": "2", "TENON_JOB": f"perf-test-{os.getpid()}"})

    def test_open_mpi(self):
        self.run_ranks(lambda rank: {"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": str(rank),
                                     "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": f"perf-test-{os.getpid()}"})

    def test_slurm(self):
        self.run_ranks(lambda rank: {"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", "SLURM_LOCALID": str(rank), "SLURM_NNODES": "1",
                                     "SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2",
                                     "SLURM_STEP_NUM_NODES": "1"})


if __name__ == "__main__":
    unittest.main()
