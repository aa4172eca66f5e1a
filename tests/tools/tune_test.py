"""What users see of `tenon tune` and `tenon topo probe`: tune_test.py PROGRAM [unittest's arguments]

No test looks at how fast anything is.
"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1)
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TENON_")}


def job(*arguments, environment=None):
    return subprocess.run([PROGRAM, "run", "-n", "2", "--", PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, env=CLEAN | (environment or {}))


class TuningFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.links, self.tuned = Path(folder.name) / "links.txt", Path(folder.name) / "tuned.txt"

    def test_hold_what_was_measured_and_are_read_back(self):
        result = job("topo", "probe", "--out", self.links)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(self.links.read_text(), r"\Atenon tuning 1\nlink \S+ latency_ns=\d+ ")
        result = job("tune", "all_reduce", "--bytes", "8,4k", "--round-ms", "1", "--rounds", "1", "--out", self.tuned,
                     environment={"TENON_TUNING_FILE": str(self.links)})
        self.assertEqual(result.returncode, 0, result.stderr)
        text = self.tuned.read_text()
        self.assertRegex(text, r"\Atenon tuning 1\nlink ")  # what was known stays
        self.assertRegex(text, r"\nchoose ranks=2 hosts=1 all_reduce(:0-\d+)?=\w+\n")
        self.assertRegex(text, r"\n# +8 .*\*\w+ [\d.]+")
        result = job("explain", "all_reduce", "--bytes", "8", "--measure", "--round-ms", "1", "--rounds", "1",
                     environment={"TENON_TUNING_FILE": str(self.tuned)})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("(tuning file, for 2 ranks on 1 host, ", result.stdout)

    def test_that_differ_between_ranks_are_refused(self):
        self.links.write_text("tenon tuning 1\n")
        self.tuned.write_text("tenon tuning 1\ncost cores 2\n")
        script = f'TENON_TUNING_FILE=$( [ "$RANK" = 0 ] && echo {self.links} || echo {self.tuned} ) exec {PROGRAM} check'
        result = subprocess.run([PROGRAM, "run", "-n", "2", "--", "sh", "-c", script], capture_output=True, text=True,
                                timeout=120, env=CLEAN)
        self.assertEqual(result.returncode, 1)
        self.assertIn("TENON_TUNING_FILE's contents=", result.stdout + result.stderr)

    def test_bad_input_is_one_line_and_exit_status_2(self):
        for arguments in (["tune", "xor"], ["tune", "--bytes", "much"], ["topo"], ["tune", "--rounds", "0"]):
            result = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60, env=CLEAN)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertRegex(result.stderr, r"\Atenon: [^\n]+\n\Z", arguments)


if __name__ == "__main__":
    unittest.main()
