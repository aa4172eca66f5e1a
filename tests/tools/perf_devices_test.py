"""What users see of tenon-perf-devices on emulated devices: perf_devices_test.py PROGRAM [unittest's arguments]

Its times there are virtual, so that they are the same on every machine.
"""

import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)
DEADLINE_S = 120


def measure(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=DEADLINE_S)


def rows(test, *arguments):
    result = measure(*arguments, "--provider", "emulated", "-n", "3")
    test.assertEqual(result.returncode, 0, result.stderr)
    lines = [line.split() for line in result.stdout.splitlines() if not line.startswith("#")]
    return [dict(zip(["bytes", "type", "algorithm", "device", "host", "enqueue", "algorithm_gbs", "bus_gbs", "wrong"], line))
            for line in lines[1:]]


class EmulatedDevices(unittest.TestCase):
    def test_every_collective_is_right(self):
        for collective in ("all_reduce", "all_gather", "reduce_scatter"):
            for ranks, data_type in ((2, "float32"), (3, "bfloat16"), (4, "float16"), (2, "int8")):
                with self.subTest(collective=collective, ranks=ranks, data_type=data_type):
                    found = rows(self, collective, "--ranks", str(ranks), "-d", data_type, "--sizes", "8,100K",
                                 "--algorithm", "ring")
                    self.assertEqual(len(found), 2)
                    self.assertEqual({row["wrong"] for row in found}, {"0"})

    def test_sizes_are_rounded_up_to_an_element(self):
        found = rows(self, "all_gather", "--sizes", "1", "--algorithm", "ring")
        self.assertEqual([row["bytes"] for row in found], ["8"])

    def test_all_algorithms_are_measured_by_default(self):
        found = {row["algorithm"] for row in rows(self, "all_reduce", "--sizes", "1K")}
        self.assertLessEqual({"ring", "one_shot", "two_shot", "recursive_doubling"}, found)

    def test_larger_messages_reach_more_of_the_link(self):
        small, large = rows(self, "all_gather", "--sizes", "64K,16M", "--algorithm", "ring")
        self.assertGreater(float(large["bus_gbs"]), float(small["bus_gbs"]))


class WrongOptions(unittest.TestCase):
    def test_what_is_not_there_is_named(self):
        for arguments, word in ((("all_together",), "all_together"), (("all_reduce", "-d", "float99"), "float99"),
                                (("all_reduce", "--algorithm", "none_such"), "none_such"),
                                (("all_reduce", "--provider", "abacus"), "abacus"), (("--ranks", "0"), "0")):
            with self.subTest(arguments=arguments):
                extra = () if "--provider" in arguments else ("--provider", "emulated")
                result = measure(*arguments, *extra)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(word, result.stderr + result.stdout)


if __name__ == "__main__":
    unittest.main()
