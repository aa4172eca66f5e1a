"""What strangers send to the sockets of a rank: strays_test.py CALL_STREAM [unittest's arguments]

Run inside tests/cluster/run, like faults_test.py, whose job this is. Where a library of others listens and ends the
process for what it reads (UCX does), the other ranks are told which rank has ended; otherwise the job goes on.
"""

import json
import os
import random
import select
import struct
import subprocess
import sys
import unittest

from faults_test import DEADLINE_S, RANKS, RANKS_PER_HOST, SEED, Job

# Sends a stray to each address, says so, and closes the connections when its input ends.
STRANGER = """
import json, socket, sys
told = json.loads(sys.stdin.readline())
opened = []
for host, port in told["addresses"]:
    try:
        opened.append(socket.create_connection((host, port), timeout=30))
        opened[-1].sendall(bytes.fromhex(told["stray"]))
    except OSError:
        pass  # it has been closed already, or what came before has ended the rank
print("sent" if opened else "nobody listens any more", flush=True)
sys.stdin.read()
"""
# With what a socket of UCX's begins, and the head of a message: its number (32: about the connection) and length.
MAGIC = struct.pack("<Q", 0xCAFEBABE12345678)


def head(number, length):
    return MAGIC + struct.pack("<BI", number, length)


CHANCE = random.Random(SEED)
STRAYS = {
    "nothing": b"",
    "garbage": CHANCE.randbytes(5000),
    "another protocol": b"GET / HTTP/1.1\r\nHost: host0\r\n\r\n",
    "a part of the magic number": MAGIC[:3],
    "the magic number": MAGIC,
    "a part of a head": head(32, 24)[:10],
    "a message of which a part comes": head(5, 1000) + b"x" * 10,
    "a request to connect, of garbage": head(32, 24) + CHANCE.randbytes(24),
    "a message of an unknown number": head(29, 16) + b"x" * 16,
    "a message longer than any": head(5, 0xFFFFFFFF) + b"x" * 100_000,
    "garbage after the magic number": MAGIC + CHANCE.randbytes(5000),
}


def addresses_of(rank):
    """Where it listens."""
    listed = subprocess.run(["on-host", str(rank.number // RANKS_PER_HOST), "ss", "-Hltnp"], check=True,
                            capture_output=True, text=True, timeout=DEADLINE_S).stdout
    lines = [line.split() for line in listed.splitlines() if f"pid={rank.id}," in line]
    return [(host.strip("[]").split("%")[0], int(port)) for host, port in (line[3].rsplit(":", 1) for line in lines)]


class Strays(unittest.TestCase):
    def setUp(self):
        print(f"to repeat this: TENON_TEST_SEED={SEED}", file=sys.stderr)
        self.job = Job(self)

    def tearDown(self):
        self.job.assert_nothing_left()
        self.assertEqual(self.job.end(), [0] * RANKS)

    def test_leave_the_job_alone_or_end_a_rank_of_which_all_are_told(self):
        ends = {}
        for number, (kind, stray) in enumerate(STRAYS.items()):
            rank = number % RANKS
            self.job.meet()
            if self.survives(self.job.ranks[rank], stray):
                self.job.kill_rank((number + 1) % RANKS)  # the next meets all others again
            else:
                ends[kind] = self.job.death_is_told(kind, rank)
            self.job.assert_nothing_left()
        print(f"these have ended a rank: {ends}", file=sys.stderr)
        if os.environ.get("TENON_NETWORK") != "ucx":
            self.assertEqual(ends, {})

    def survives(self, rank, stray):
        """Whether the rank goes on while a stranger keeps its connections, and after that."""
        addresses = addresses_of(rank)
        self.assertTrue(addresses, "nobody listens")
        with subprocess.Popen(["on-host", str(rank.number // RANKS_PER_HOST), sys.executable, "-c", STRANGER],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stranger:
            stranger.stdin.write(json.dumps({"addresses": addresses, "stray": stray.hex()}) + "\n")
            stranger.stdin.flush()
            self.assertEqual(stranger.stdout.readline(), "sent\n")
            lives = self.nobody_says_anything(0.5)
            stranger.stdin.close()
        return lives and self.nobody_says_anything(0.5)

    def nobody_says_anything(self, for_s):
        return not select.select([rank.process.stdout for rank in self.job.ranks], [], [], for_s)[0]


if __name__ == "__main__":
    unittest.main()
