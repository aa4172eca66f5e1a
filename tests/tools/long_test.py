"""What `tools/test` installs and runs, by its arguments; nothing is installed here: long_test.py [unittest's arguments]"""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TEST = Path(__file__).resolve().parents[2] / "tools/test"


class Command(unittest.TestCase):
    def run_with(self, *arguments):
        """The status, and each command that it ran, in a tree where all commands only say how they were called."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name in ("tools/packages/install", "tests/rdma_vm/prepare", "path/cmake", "path/ctest"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{root}/called\n')
                (root / name).chmod(0o755)
            shutil.copy(TEST, root / "tools/test")
            done = subprocess.run([root / "tools/test", *arguments], capture_output=True, text=True, timeout=60,
                                  env=os.environ | {"PATH": f"{root}/path:{os.environ['PATH']}"})
            called = root / "called"
            return done.returncode, called.read_text() if called.exists() else ""

    def test_usual_leaves_out_what_is_long(self):
        status, called = self.run_with()
        self.assertEqual(status, 0)
        self.assertIn("tools/packages/install build test launchers\n", called)
        self.assertIn("--label-exclude exhaustive", called)

    def test_long_installs_what_no_test_may_be_skipped_for(self):
        status, called = self.run_with("--long")
        self.assertEqual(status, 0)
        self.assertIn("tools/packages/install build test launchers launchers-more peers\n", called)
        self.assertNotIn("exhaustive", called)

    def test_another_word_runs_nothing(self):
        self.assertEqual(self.run_with("--lang"), (2, ""))


if __name__ == "__main__":
    unittest.main()
