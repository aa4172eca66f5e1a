"""What users see of `tenon topo`: topo_test.py PROGRAM SOURCE [unittest's arguments]"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

PROGRAM = sys.argv.pop(1)
SOURCE = Path(sys.argv.pop(1))
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TENON_")}
TABLE = SOURCE / "tests/fuzz/corpus/rank_table/version_1_0.json"
NCCL = SOURCE / "tests/fuzz/corpus/nccl_xml/nvlink.xml"
SCHEMA = SOURCE / "src/topology/files/tenon_topology.schema.json"


NO_MACHINE = {"HWLOC_COMPONENTS": "stop"}  # hwloc has no way left to find out about it


def topo(*arguments):
    return subprocess.run([PROGRAM, "topo", *map(str, arguments)], capture_output=True, text=True, timeout=60, env=CLEAN)


def well(*arguments):
    result = topo(*arguments)
    if (result.returncode, result.stderr) != (0, ""):
        raise AssertionError(f"tenon topo {arguments}: {result.returncode}, {result.stderr}")
    return result.stdout


def job(*arguments, environment={}):
    """Of four ranks, whose output has no prefixes."""
    return subprocess.run([PROGRAM, "run", "-n", "4", "--no-prefix", "--", PROGRAM, "topo", *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, env=CLEAN | environment)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Topologies(Folder):
    def assert_is_bad_input(self, words, *arguments):
        result = topo(*arguments)
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn(words, result.stderr)

    def test_are_shown_as_they_are_and_as_algorithms_see_them(self):
        shown = well("show", NCCL)
        self.assertIn("device 0000:11:00.0, rank 0; 4 nvlink 20.6 GB/s, 1 pcie 24 GB/s", shown)
        self.assertRegex(shown, r"server +1 +2 .* 82.4 GB/s")

    def test_of_many_like_servers_are_shown_once(self):
        path = self.folder / "cm.json"
        well("generate", "cloudmatrix384", "--supernodes", 2, "--out", path)
        shown = well("show", path)
        self.assertIn("server server0 .. server47 (48 alike)", shown)
        self.assertIn("1536", shown)
        self.assertLess(len(shown.splitlines()), 60)

    def test_of_this_machine_are_shown_without_a_file(self):
        self.assertIn("core", well("show"))

    def test_are_converted_and_read_back_without_a_difference(self):
        one, other = self.folder / "one.json", self.folder / "other.json"
        well("convert", TABLE, "--out", one)
        well("convert", one, "--out", other)
        self.assertEqual(one.read_text(), other.read_text())
        self.assertEqual(well("diff", one, TABLE), "")

    def test_fit_the_schema(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("python3-jsonschema is not installed")
        schema = json.loads(SCHEMA.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        for text in (well("generate", "atlas-a3"), well("convert", TABLE), well("convert", NCCL), well("convert")):
            validator.validate(json.loads(text))
        wrong = json.loads(well("convert", NCCL))
        wrong["links"][0]["latency"] = 5
        self.assertFalse(validator.is_valid(wrong))

    def test_are_compared_with_this_machine(self):
        path = self.folder / "here.json"
        well("convert", "--out", path)
        self.assertEqual(well("diff", path), "")
        self.assertEqual(topo("diff", TABLE).returncode, 1)

    def test_that_differ_are_told_line_by_line(self):
        one, other = self.folder / "one.json", self.folder / "other.json"
        well("generate", "atlas-a2", "--npus", 2, "--out", one)
        well("generate", "atlas-a2", "--npus", 2, "--hccs-mb-per-s", 30000, "--out", other)
        result = topo("diff", one, other)
        self.assertEqual((result.returncode, result.stderr), (1, ""))
        self.assertEqual(result.stdout, "~ link /server0/npu0 -- /server0/npu1 hccs: 1 x 28000000000 bytes/s, 700 ns -> "
                                        "1 x 30000000000 bytes/s, 700 ns\n")

    def test_are_drawn_with_every_device_and_a_legend(self):
        path = self.folder / "dgx.svg"
        well("generate", "dgx-h100", "--out", self.folder / "dgx.json", "--svg", path)
        root = xml.etree.ElementTree.parse(path).getroot()
        self.assertTrue(root.tag.endswith("svg"))
        texts = [element.text for element in root.iter() if element.tag.endswith("}text")]
        for gpu in range(8):
            self.assertIn(f"gpu{gpu}", texts)
        self.assertTrue(any("nvlink: 5 x 25 GB/s = 125 GB/s, 500 ns (device - switch)" == text for text in texts), texts)

    def test_of_many_like_servers_are_drawn_once(self):
        path = self.folder / "cm.svg"
        well("generate", "cloudmatrix384", "--supernodes", 2, "--out", self.folder / "cm.json", "--svg", path)
        self.assertLess(path.stat().st_size, 300_000)
        self.assertIn("server0 .. server47", path.read_text())

    def test_are_valid_or_wrong_for_a_reason(self):
        wrong = self.folder / "wrong.json"
        wrong.write_text(TABLE.read_text().replace('"rank_id": "1"', '"rank_id": "0"'))
        self.assertIn("HCCL rank table 1.x, 8 places, 3 links, 4 ranks", well("validate", TABLE))
        result = topo("validate", wrong, TABLE)
        self.assertEqual((result.returncode, result.stderr), (1, ""))
        self.assertEqual(len(result.stdout.splitlines()), 2)
        self.assertIn("wrong.json:3: /server_list/0/device/1: rank 0 is given twice", result.stdout)

    def test_of_named_machines_say_where_their_figures_come_from(self):
        self.assertIn("Sources: Structure and RoCE: arXiv 2506.12708", " ".join(well("generate", "atlas-a3", "--help").split()))

    def test_that_cannot_be_had_are_bad_input(self):
        self.assert_is_bad_input("cannot read nowhere.xml: No such file", "show", "nowhere.xml")
        self.assert_is_bad_input("Is a directory", "show", self.folder)
        self.assert_is_bad_input("neither XML nor JSON", "convert", __file__)
        self.assert_is_bad_input("4 ranks, but 5 ranks were asked for", "show", TABLE, "--ranks", 5)
        self.assert_is_bad_input("--supernodes", "generate", "cloudmatrix384", "--supernodes", 0)
        self.assert_is_bad_input("there is no machine 'abacus'; there are: cloudmatrix384, ", "generate", "abacus")
        self.assert_is_bad_input("name a machine; there are: ", "generate")
        self.assert_is_bad_input("name a topology file, which is compared with this machine", "diff")
        self.assert_is_bad_input("radix must be even", "generate", "fat-tree", "--radix", 7)
        self.assert_is_bad_input("goes with a rank table of version 2.0", "show", TABLE, "--topology-file", TABLE)

    def test_that_cannot_be_written_fail(self):
        result = topo("generate", "atlas-a2", "--out", self.folder / "missing" / "a.json")
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write", result.stderr)


class Jobs(Folder):
    def well(self, *arguments):
        result = job(*arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
        return result.stdout

    def test_are_shown_once_with_how_pairs_are_reached(self):
        shown = self.well("show")
        self.assertEqual(shown.count("cluster job\n"), 1, shown)
        self.assertIn("  pairs   within a server: shm (6 pairs, such as ranks 0 and 1)\n", shown)
        self.assertRegex(shown, r"process rank0 \.\. rank3 \(4 alike\), ranks 0 \.\. 3;")
        self.assertRegex(shown, r"as algorithms see it: 4 ranks on 1 host\n")

    def test_fit_the_schema_and_read_back(self):
        path, again = self.folder / "job.json", self.folder / "again.json"
        self.assertEqual(self.well("convert", "--out", path, "--svg", self.folder / "job.svg"), "")
        self.assertIn("rank3", (self.folder / "job.svg").read_text())
        written = json.loads(path.read_text())
        self.assertEqual(written["pairs"],
                         [{"where": "within a server", "transport": "shm", "count": 6, "such_as": [0, 1]}])
        self.assertIn("Tenon topology, 1", well("validate", path))
        self.assertIn("within a server: shm (6 pairs", well("show", path))
        well("convert", path, "--out", again)
        self.assertEqual(again.read_text(), path.read_text())
        self.assertEqual(self.well("diff", path), "", "the same job, once more")
        try:
            import jsonschema
        except ImportError:
            self.skipTest("python3-jsonschema is not installed")
        validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
        validator.validate(written)
        del written["pairs"][0]["transport"]
        self.assertFalse(validator.is_valid(written))

    def test_that_differ_in_pairs_are_told_apart(self):
        path, other = self.folder / "job.json", self.folder / "other.json"
        self.well("convert", "--out", path)
        other.write_text(path.read_text().replace('"transport": "shm"', '"transport": "tcp"'))
        result = topo("diff", path, other)
        self.assertEqual((result.returncode, result.stderr), (1, ""))
        self.assertEqual(result.stdout.splitlines(),
                         ['- pairs within a server shm: 6 such as 0 and 1, 0 bytes/s',
                          '+ pairs within a server tcp: 6 such as 0 and 1, 0 bytes/s'])

    def test_whose_machine_cannot_be_read_fail_by_name(self):
        result = job("show", environment=NO_MACHINE)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r"tenon: rank 0 cannot tell what machine \S+ is: hwloc cannot")

    def test_of_wrong_variables_are_bad_input(self):
        result = job("show", environment={"TENON_SPIN": "much"})
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("TENON_SPIN", result.stderr)

    def test_show_files_on_every_rank(self):
        self.assertEqual(self.well("validate", TABLE).count("HCCL rank table 1.x"), 4)


if __name__ == "__main__":
    unittest.main()
