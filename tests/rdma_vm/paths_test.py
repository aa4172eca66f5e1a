"""What becomes of a job whose hosts have two RDMA devices each: paths_test.py CALL_STREAM [unittest's arguments]

Runs in a VM with 2 devices on each host. Each link can be cut apart from the others, in the middle of calls whose results are
all checked; what a device has carried, its interface counts.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from faults_test import DEADLINE_S, HOSTS, PATIENCE_S, RANKS, RANKS_PER_HOST, Job  # noqa: E402

DEVICES = 2
LAST = HOSTS - 1
ENOUGH = 4 << 20
# The loss of each is known within the patience; the second may not have been needed before.
BOTH_TOLD_WITHIN_S = 2 * PATIENCE_S + max(1, PATIENCE_S / 3)


def host_of(rank):
    return rank // RANKS_PER_HOST


def name_of(host, device):
    return f"rxe{host}" + (f"_{device}" if device else "")


def carried():
    """The bytes that have left each device so far, the hosts' first ones and then the second ones."""
    shown = subprocess.run(["nsenter", "--net=/run/rdma_vm/network", "ip", "-s", "-j", "link"], check=True, capture_output=True,
                           timeout=DEADLINE_S).stdout
    sent = {link["ifname"]: link["stats64"]["tx"]["bytes"] for link in json.loads(shown)}
    return [[sent[name_of(host, device).replace("rxe", "rdma")] for host in range(HOSTS)] for device in range(DEVICES)]


class Log:
    """What a rank writes on standard error."""

    def __init__(self, rank):
        self.rank, self.said = rank, ""

    def read(self, for_s):
        pipe = self.rank.process.stderr
        if select.select([pipe], [], [], for_s)[0]:
            self.said += os.read(pipe.fileno(), 65536).decode()
        return self.said

    def lines(self, *words):
        return [line for line in self.said.splitlines() if all(word in line for word in words)]

    def line(self, *words):
        """The one with these words, waited for."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.lines(*words) and time.monotonic() < deadline:
            self.read(0.2)
        found = self.lines(*words)
        if len(found) != 1:
            raise AssertionError(f"rank {self.rank.number} has logged {len(found)} lines with {words}:\n{self.said}")
        return found[0]


class JobOfTwoDevices(unittest.TestCase):
    def setUp(self):
        self.cuts = set()
        self.addCleanup(self.heal)
        self.begin()

    def begin(self):
        self.job = Job(self)
        self.logs = [Log(rank) for rank in self.job.ranks]
        self.job.meet()

    def cut_other(self, host, lost):
        """While the job lives by it alone."""
        since = time.monotonic()
        self.cut(host, 1 - lost)
        self.assert_all_fail(since)
        self.heal()

    def cut(self, host, device):
        subprocess.run(["cut-device", str(host), str(device)], check=True)
        self.cuts.add((host, device))

    def heal(self):
        for host, device in self.cuts:
            subprocess.run(["heal-device", str(host), str(device)], check=True)
        self.cuts.clear()

    def growth(self, *devices):
        """What each device of each host has carried until these of all hosts have carried enough."""
        before, deadline = carried(), time.monotonic() + DEADLINE_S
        while True:
            grown = [[now - then for now, then in zip(*pair)] for pair in zip(carried(), before)]
            if all(min(grown[device]) >= ENOUGH for device in devices):
                return grown
            self.assertLess(time.monotonic(), deadline, f"the devices have carried {grown} bytes")
            self.job.nobody_fails(0.1)

    def assert_both_are_used(self):
        grown = self.growth(*range(DEVICES))
        print(f"bytes that have left each host's first device, and each second one: {grown}", file=sys.stderr)

    def assert_moved(self, host, lost):
        """From a device of this host: every rank that used it, or its peer, says who, by which device, why, and what now."""
        for log in self.logs:
            own = host_of(log.rank.number)
            for peer in range(RANKS):
                if host in (own, host_of(peer)) and own != host_of(peer):
                    line = log.line(f"rank {log.rank.number}: the RDMA device {name_of(own, lost)}",
                                    f"joins it to rank {peer} on host{host_of(peer)} no longer")
                    self.assertRegex(line, rf"no longer \(.+\); {name_of(own, 1 - lost)} carries on")
        grown = self.growth(1 - lost)
        self.assertLess(grown[lost][host], ENOUGH // 10, grown)

    def assert_all_fail(self, since):
        """With words that name both devices of a host."""
        named = [[f"by {name_of(host, device)}" for device in range(DEVICES)] for host in range(HOSTS)]
        self.job.everybody_fails("both cut", self.job.ranks, since, BOTH_TOLD_WITHIN_S,
                                 lambda message: any(all(word in message for word in words) for words in named))

    def end_well(self):
        """All results were right, and there is nothing to complain of."""
        self.assertEqual(self.job.end(), [0] * RANKS)


class Paths(JobOfTwoDevices):
    def test_are_shared_lost_one_by_one_and_used_again_by_those_who_meet_anew(self):
        self.assert_both_are_used()
        self.cut(LAST, 0)
        self.assert_moved(LAST, 0)
        self.cut_other(LAST, 0)
        self.job.meet()
        self.assert_both_are_used()
        self.end_well()


class PathsAtLength(JobOfTwoDevices):
    def test_that_are_lost_do_not_keep_the_job_from_ending_well(self):
        for device in range(DEVICES):
            with self.subTest(device=device):
                self.cut(0, device)
                self.assert_moved(0, device)
                self.end_well()
                self.heal()
                self.begin()
        self.end_well()

    def test_that_are_lost_while_a_rank_does_not_look_are_left_all_the_same(self):
        """As one that computes between its calls."""
        late = self.job.ranks[0]
        self.cut(LAST, 0)
        late.send_signal(signal.SIGSTOP)
        self.job.nobody_fails(2 * PATIENCE_S, late)
        late.send_signal(signal.SIGCONT)
        self.assert_moved(LAST, 0)
        print(f"waited for it: {sum(bool(log.lines('as soon as that has said')) for log in self.logs)} ranks", file=sys.stderr)
        self.end_well()

    def test_that_are_lost_the_second_one_first_are_used_again(self):
        self.cut(0, 1)
        self.assert_moved(0, 1)
        self.cut_other(0, 1)
        self.job.meet()
        self.assert_both_are_used()
        self.end_well()

    def test_that_are_both_cut_at_once_end_the_calls_with_an_error_that_names_both(self):
        since = time.monotonic()
        for device in range(DEVICES):
            self.cut(LAST, device)
        self.assert_all_fail(since)
        self.end_well()

    def test_that_are_cut_for_a_moment_stay(self):
        self.cut(0, 0)
        self.heal()
        self.job.nobody_fails(PATIENCE_S + 0.5)
        self.assert_both_are_used()
        self.assertEqual([log.read(0) for log in self.logs if "no longer" in log.read(0)], [])
        self.end_well()


if __name__ == "__main__":
    unittest.main()
