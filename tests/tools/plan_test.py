"""What users see of `tenon plan`: plan_test.py PROGRAM [unittest's arguments]"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

PROGRAM = sys.argv.pop(1)
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TENON_")}

# Two ranks that each add what the other sends.
ADD_BOTH = """<algo name="add both" nchannels="1" nchunksperloop="1" proto="Simple" ngpus="2" coll="allreduce" inplace="0">
{}</algo>
"""
GPU = """<gpu id="{me}" i_chunks="1" o_chunks="1" s_chunks="1">
<tb id="0" send="{peer}" recv="{peer}" chan="0">
<step s="0" type="s" srcbuf="i" srcoff="0" dstbuf="s" dstoff="0" cnt="1" depid="-1" deps="-1" hasdep="0"/>
<step s="1" type="cpy" srcbuf="i" srcoff="0" dstbuf="o" dstoff="0" cnt="1" depid="-1" deps="-1" hasdep="0"/>
<step s="2" type="rrc" srcbuf="o" srcoff="0" dstbuf="o" dstoff="0" cnt="1" depid="-1" deps="-1" hasdep="0"/>
</tb></gpu>
"""


def plan(*arguments):
    return subprocess.run([PROGRAM, "plan", *map(str, arguments)], capture_output=True, text=True, timeout=60, env=CLEAN)


class Plans(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_as_text_name_the_peers_of_every_rank(self):
        result = plan("all_reduce", "--ranks", 8, "--algorithm", "ring", "--bytes", "1M")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for rank in range(8):
            self.assertIn(f"ring all_reduce, rank {rank} of 8", result.stdout)
            self.assertIn(f"-> rank {rank}", result.stdout)

    def test_as_json_are_those_of_the_ranks(self):
        plans = json.loads(plan("all_reduce", "--ranks", 4, "--algorithm", "ring", "--format", "json").stdout)
        self.assertEqual([(p["rank"], p["rank_count"], p["algorithm"]) for p in plans], [(r, 4, "ring") for r in range(4)])
        for p in plans:
            steps = [step for lane in p["lanes"] for step in lane]
            self.assertEqual({step["to"] for step in steps if "to" in step}, {(p["rank"] + 1) % 4})
        self.assertEqual(json.loads(plan("all_reduce", "--ranks", 4, "--algorithm", "ring", "--format", "json", "--rank", 2).stdout), plans[2])

    def test_as_a_picture_are_svg_in_a_file(self):
        path = self.folder / "ring.svg"
        result = plan("all_reduce", "--ranks", 4, "--algorithm", "ring", "--format", "svg", "--out", path)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertTrue(xml.etree.ElementTree.parse(path).getroot().tag.endswith("svg"))

    def test_without_an_algorithm_are_those_of_a_call(self):
        result = plan("broadcast", "--ranks", 3, "--bytes", 8, "--root", 2)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"\Achosen: \w+ \(measured table")

    def test_can_be_proved(self):
        result = plan("all_reduce", "--ranks", 5, "--algorithm", "double_binary_tree", "--verify")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("verified: right, in place too; ", result.stderr)

    def test_say_what_crosses_which_group(self):
        result = plan("all_reduce", "--groups", "4x2", "--algorithm", "hierarchical", "--bytes", "64K", "--verify")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("verified: right", result.stderr)
        self.assertRegex(result.stdout, r"\Awithin a server, between its ranks: \d+ bytes in \d+ messages; most out of one 65536 ")
        # 2 (hosts - 1) / hosts of the buffer, each way.
        self.assertRegex(result.stdout, r"\nwithin a cluster, between its servers: 393216 bytes in \d+ messages; "
                                        r"most out of one 98304 \(1.500 of the buffer\), most into one 98304 \(1.500\)\n")
        for shape in ("3,1,4", "2x3x4"):
            result = plan("broadcast", "--groups", shape, "--algorithm", "hierarchical", "--root", 5, "--verify")
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_come_back_from_json(self):
        path = self.folder / "plans.json"
        plan("all_gather", "--ranks", 3, "--algorithm", "ring", "--format", "json", "--out", path)
        result = plan("--json", path, "--format", "json", "--verify")
        self.assertEqual((result.returncode, result.stdout), (0, path.read_text()), result.stderr)
        self.assertIn("verified: right", result.stderr)

    def test_that_are_wrong_give_status_1_and_the_step(self):
        path = self.folder / "plans.json"
        plans = json.loads(plan("all_gather", "--ranks", 3, "--algorithm", "ring", "--format", "json").stdout)
        plans[1]["lanes"][0][0]["to"] = 0
        path.write_text(json.dumps(plans))
        result = plan("--json", path, "--verify")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"\Awrong: [^\n]*rank [^\n]+\n\Z")

    def test_of_msccl_are_read(self):
        path = self.folder / "add.xml"
        path.write_text(ADD_BOTH.format(GPU.format(me=0, peer=1) + GPU.format(me=1, peer=0)))
        result = plan("--msccl", path, "--verify")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("verified: right", result.stderr)
        path.write_text(ADD_BOTH.format(GPU.format(me=0, peer=1)))
        result = plan("--msccl", path)
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertRegex(result.stderr, r"\Atenon: [^\n]*add.xml[^\n]+\n\Z")

    def test_bad_input_is_one_line_and_exit_status_2(self):
        for arguments in ([], ["xor"], ["all_to_all_v"], ["all_reduce", "--ranks", "0"], ["all_reduce", "--algorithm", "no_such"],
                          ["all_reduce", "--bytes", "much"], ["all_reduce", "--type", "float31"], ["broadcast", "--root", "4"],
                          ["all_reduce", "--rank", "4"], ["all_reduce", "--format", "png"], ["all_reduce", "--msccl", "x.xml"],
                          ["all_gather", "--algorithm", "recursive_doubling", "--ranks", "3"], ["--json", "/no/such/file"], ["--json", os.curdir],
                          ["all_reduce", "--groups", "4y2"], ["all_reduce", "--groups", "4x2", "--ranks", "7"],
                          ["all_reduce", "--groups", "100x100"], ["all_reduce", "--ranks", "1000", "--algorithm", "ring", "--format", "svg"]):
            result = plan(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertRegex(result.stderr, r"\Atenon: [^\n]+\n\Z", arguments)

    def test_a_file_that_cannot_be_written_gives_status_1(self):
        result = plan("all_reduce", "--out", self.folder / "no" / "such" / "folder.txt")
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write", result.stderr)


if __name__ == "__main__":
    unittest.main()
