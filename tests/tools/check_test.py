"""What users see of `tenon check` on one host: check_test.py PROGRAM [unittest's arguments]

tests/cluster/checks_test.py lets it run between hosts, with all that can go wrong there.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1)
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TENON_")}


def check(ranks=None, script='exec "$@"', **variables):
    """Alone, or as ranks, of which each runs the script first."""
    launcher = [] if ranks is None else [PROGRAM, "run", "--no-prefix", "-n", str(ranks), "--", "sh", "-c", script, "rank"]
    return subprocess.run([*launcher, PROGRAM, "check"], capture_output=True, text=True, timeout=120, env=CLEAN | variables)


class Check(unittest.TestCase):
    def test_all_is_right(self):
        for variables in ({}, {"TENON_TRANSPORT": "network"}):
            result = check(3, **variables)
            self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
            self.assertIn("all right: 3 ranks on 1 host have met and exchanged data\n", result.stdout)

    def test_alone_it_says_how_to_check_a_job(self):
        result = check()
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
        self.assertRegex(result.stdout, r"\Aall right[^\n]+tenon run -n 4 -- tenon check\n\Z")

    def test_what_is_odd_is_one_line_and_status_1(self):
        result = check(3, 'if [ $RANK = 2 ]; then export TENON_STREAMING_STORES=off; fi; exec "$@"')
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout.count("found: "), 1)
        self.assertIn("found: TENON_STREAMING_STORES differs between ranks: it is off on rank 2, but not set on the other 2;", result.stdout)

    def test_what_is_wrong_is_one_line_from_a_host_and_status_1(self):
        result = check(3, 'if [ $RANK = 2 ]; then export TENON_SLOT_MEMORY_BYTES=1m; fi; exec "$@"')
        self.assertEqual(result.returncode, 1)
        # Where the first takes its time to end, as on a loaded machine, others say the same again.
        self.assertEqual(len(set(re.findall("wrong: mismatch: .*", result.stdout))), 1, result.stdout)
        for word in ("TENON_SLOT_MEMORY_BYTES=1m", "TENON_SLOT_MEMORY_BYTES=64m", "rank 2 (process "):
            self.assertIn(word, result.stdout)

    def test_there_is_a_verdict_whichever_rank_fails_first(self):
        for files in (18, 22, 22, 22):
            result = check(12, f'ulimit -n {files}; exec "$@"', TENON_TRANSPORT="network")
            self.assertRegex(result.stdout, "wrong: |all right: ", result.stderr)

    def test_a_network_that_cannot_be_used_is_found(self):
        result = check(TENON_NETWORK="carrier_pigeon")
        self.assertEqual(result.returncode, 1)
        self.assertIn("found: TENON_NETWORK=carrier_pigeon: there is no such network here", result.stdout)
        result = check(2, TENON_NETWORK="carrier_pigeon")
        self.assertEqual(result.returncode, 0, "nobody needs one")
        result = check(2, TENON_NETWORK="carrier_pigeon", TENON_TRANSPORT="network")
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot use the network: TENON_NETWORK=carrier_pigeon", result.stdout)

    def test_a_library_that_a_network_needs_and_is_not_there_is_named_with_its_package(self):
        for network, library, package in (("ucx", "libucp.so.0", "libucx0"), ("rdma", "libibverbs.so.1", "libibverbs1")):
            with self.subTest(network), tempfile.TemporaryDirectory() as folder:
                Path(folder, library).touch()  # found first, and is none
                result = check(2, TENON_NETWORK=network, TENON_TRANSPORT="network", LD_LIBRARY_PATH=folder)
                if "was built without" in result.stdout:
                    self.skipTest(f"the module of {network} was not built")
                self.assertEqual(result.returncode, 1)
                for word in (f"TENON_NETWORK={network}: its module does not load: ", library, f"install {package}", "TENON_NETWORK=tcp"):
                    self.assertIn(word, result.stdout)
                self.assertNotIn("TENON_PLUGINS", result.stdout)

    def test_a_network_whose_module_was_not_built_is_named_with_what_builds_it(self):
        with tempfile.TemporaryDirectory() as folder:
            alone = shutil.copy(PROGRAM, folder)  # modules lie beside the program or its library
            for network, package in (("ucx", "libucx-dev"), ("rdma", "libibverbs-dev")):
                result = subprocess.run([alone, "check"], capture_output=True, text=True, timeout=120, env=CLEAN | {"TENON_NETWORK": network})
                self.assertEqual(result.returncode, 1)
                for word in (f"found: TENON_NETWORK={network}: this Tenon was built without its module", package, "TENON_NETWORK=tcp"):
                    self.assertIn(word, result.stdout)

    def test_a_wrong_variable_is_one_line_and_status_2(self):
        result = check(TENON_SPINS="7")
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertRegex(result.stderr, r"\Atenon: TENON_SPINS [^\n]+\n\Z")


if __name__ == "__main__":
    unittest.main()
