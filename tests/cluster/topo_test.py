"""The map of a job of several hosts, as `tenon topo` makes it: topo_test.py TENON [unittest's arguments]

Run inside tests/cluster/run with 2 hosts and 2 ranks on each (ranks 0 and 1 are on host0, 2 and 3 on host1).
"""

import json
import subprocess
import sys
import unittest

TENON = sys.argv.pop(1)
DEADLINE_S = 60


def job(*arguments, bad_rank=None):
    """`bad_rank` finds out nothing about its machine: hwloc has no way left to do so."""
    script = f'if [ "$RANK" = "{bad_rank}" ]; then export HWLOC_COMPONENTS=stop; fi; exec "$@"'
    return subprocess.run(["ranks", "sh", "-c", script, "rank", TENON, "topo", *arguments], capture_output=True, text=True,
                          timeout=DEADLINE_S)


def paths_of(place, path=""):
    """The path of every place, with the place."""
    for inside in place.get("places", []):
        yield f"{path}/{inside['name']}", inside
        yield from paths_of(inside, f"{path}/{inside['name']}")


class MapOfAJob(unittest.TestCase):
    def well(self, *arguments):
        done = job(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def test_is_shown_once_with_both_hosts_and_how_pairs_are_reached(self):
        shown = self.well("show")
        self.assertEqual(shown.count("cluster job\n"), 1, shown)
        self.assertIn("  server host0, host1 (2 alike);", shown)
        self.assertIn("  pairs   within a server: shm (2 pairs, such as ranks 0 and 1)\n", shown)
        self.assertRegex(shown, r"between servers: tcp over eth0, at most [\d.]+ .B/s \(4 pairs, such as ranks 0 and 2\)\n")
        self.assertIn("as algorithms see it: 4 ranks on 2 hosts\n", shown)

    def test_has_the_ranks_on_their_hosts_and_the_hosts_on_one_network(self):
        written = json.loads(self.well("convert"))
        host_of = {place["rank"]: path.split("/")[1] for path, place in paths_of(written["place"]) if "rank" in place}
        self.assertEqual(host_of, {0: "host0", 1: "host0", 2: "host1", 3: "host1"})
        within, between = written["pairs"]
        self.assertEqual((within["where"], within["transport"], within["count"]), ("within a server", "shm", 2))
        self.assertEqual((between["where"], between["transport"], between["over"], between["count"]),
                         ("between servers", "tcp", "eth0", 4))
        wires = [link for link in written["links"] if link["kind"] == "ethernet"]
        self.assertEqual([(link["from"], link["to"]) for link in wires],
                         [("/host0/eth0", "/ethernet network"), ("/host1/eth0", "/ethernet network")])
        self.assertEqual({link["bytes_per_s"] for link in wires}, {between["bytes_per_s"]})

    def test_fails_by_the_name_of_a_rank_whose_machine_cannot_be_read(self):
        done = job("show", bad_rank=2)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn("tenon: rank 2 cannot tell what machine host1 is: hwloc cannot", done.stderr)

    def test_needs_only_one_rank_of_a_host_to_know_the_machine(self):
        self.assertEqual(job("show", bad_rank=3).returncode, 0)


if __name__ == "__main__":
    unittest.main()
