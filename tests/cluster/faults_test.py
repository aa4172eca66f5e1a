"""What happens to a job of several hosts when something breaks: faults_test.py CALL_STREAM [unittest's arguments]

Run inside tests/cluster/run with 3 hosts or more and 2 ranks on each. A rank is killed or stopped, links are cut, in
the middle of a stream of calls or while all stand still: every other rank gets an error that says who, in time; nobody
hangs, no data are wrong, nothing is left behind; and after the fault is mended the same processes meet again and go on.
FAULTS=N: that many random ones in a row (20). TENON_TEST_SEED repeats a run. Where all is slow, as in tests/rdma_vm,
TENON_NETWORK_TIMEOUT_MS is to be longer than it takes to cut a link and to heal it again.
"""

import json
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import time
import unittest

CALL_STREAM = sys.argv.pop(1)
HOSTS = int(os.environ["CLUSTER_HOSTS"])
RANKS_PER_HOST = int(os.environ["CLUSTER_RANKS_PER_HOST"])
RANKS = HOSTS * RANKS_PER_HOST
SEED = int(os.environ.get("TENON_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
FAULTS = int(os.environ.get("FAULTS", 20))
DEADLINE_S = 60
# By when all must have heard of a host that is out of reach, and of a process that died on another host. Tests share
# their machine, hence the room.
PATIENCE_S = int(os.environ.get("TENON_NETWORK_TIMEOUT_MS", 3000)) / 1000
CUT_TOLD_WITHIN_S = PATIENCE_S + max(1, PATIENCE_S / 3)
DEATH_TOLD_WITHIN_S = 3
# In how much time from the first call on most pairs of ranks get to know each other.
CONNECTED_WITHIN_S = 0.02
# What a process may have open, or run, after its jobs, beyond what it had before the first: its memory for other ranks,
# and, of what told other hosts, one descriptor each until the next job.
KEPT = {"fd": 3, "task": 0}


class Rank:
    """One rank's process, on its host; it is told what to do and says what happens, a line of JSON at a time."""

    def __init__(self, number):
        self.number = number
        environment = os.environ | {"RANK": str(number), "WORLD_SIZE": str(RANKS), "MASTER_ADDR": "host0",
                                    "LOCAL_RANK": str(number % RANKS_PER_HOST),
                                    "LOCAL_WORLD_SIZE": str(RANKS_PER_HOST), "TENON_INIT_TIMEOUT_MS": "60000"}
        self.process = subprocess.Popen(["on-host", str(number // RANKS_PER_HOST), CALL_STREAM], env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        bufsize=0)
        self.unread = b""
        self.id = self.hear("started")["process"]
        self.at_first = {what: self.count(what) for what in KEPT}

    def hear(self, event, deadline_s=DEADLINE_S):
        deadline = time.monotonic() + deadline_s
        while b"\n" not in self.unread:
            ready = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]
            if not ready:
                raise AssertionError(f"rank {self.number} did not say '{event}' within {deadline_s} s")
            got = os.read(self.process.stdout.fileno(), 65536)
            if not got:
                raise AssertionError(f"rank {self.number} ended ({self.process.wait()}) before it said '{event}': "
                                     + self.process.stderr.read().decode())
            self.unread += got
        line, self.unread = self.unread.split(b"\n", 1)
        said = json.loads(line)
        if said["event"] != event:
            raise AssertionError(f"rank {self.number} says {said} and not '{event}'")
        return said

    def meet(self, job):
        self.process.stdin.write(f"next {job}\n".encode())

    def send_signal(self, number):
        os.kill(self.id, number)

    def count(self, what):
        """How many descriptors (fd) or threads (task) it has."""
        return len(os.listdir(f"/proc/{self.id}/{what}"))

    def assert_nothing_left(self):
        """After a job: what tells other hosts of a failure ends a little after the calls."""
        for what, kept in KEPT.items():
            most = self.at_first[what] + kept
            deadline = time.monotonic() + DEADLINE_S
            while self.count(what) > most:
                if time.monotonic() > deadline:
                    raise AssertionError(f"rank {self.number} has {self.count(what)} in /proc/{self.id}/{what}, "
                                         f"and had {self.at_first[what]} before its first job")

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(DEADLINE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return status


def names(message, host):
    """Whether a message says that it is about a host, or about a rank on it."""
    ranks = range(host * RANKS_PER_HOST, (host + 1) * RANKS_PER_HOST)
    return any(word in message for word in (f"host{host}", *(f"rank {rank} " for rank in ranks)))


def link(command, *hosts):
    subprocess.run([command, *map(str, hosts)], check=True)


def running():
    """The processes of the cluster, without the kernel's own."""
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit() and os.path.exists(f"/proc/{entry}/exe")}


class Job:
    """All ranks, and the name under which they meet."""

    def __init__(self, test):
        self.test = test
        self.others = running()
        self.ranks = [Rank(number) for number in range(RANKS)]
        self.meetings = 0
        self.times = {}  # in seconds, by the kind of fault
        self.cutting_s = 0  # what the last cut-link took, which is part of the time to tell
        test.addCleanup(self.kill)

    def kill(self):
        for rank in self.ranks:
            rank.process.kill()
            rank.process.wait()
            for pipe in (rank.process.stdin, rank.process.stdout, rank.process.stderr):
                pipe.close()

    def meet(self):
        self.meetings += 1
        for rank in self.ranks:
            rank.meet(f"faults-{SEED}-{self.meetings}")
        for rank in self.ranks:
            rank.hear("runs")

    def everybody_fails(self, kind, among, since, within_s, named):
        """Each of these ranks fails in time, with words that name what `named` says of a message, and leaves."""
        failures = [rank.hear("failed") for rank in among]
        for rank in among:
            rank.hear("left")
        after_s = max(failure["at_ms"] for failure in failures) / 1000 - since
        self.times.setdefault(kind, []).append(after_s)
        for failure in failures:
            self.test.assertEqual(failure["status"], "remote error", failure)
            self.test.assertTrue(named(failure["message"]), f"{kind}: {failure}")
            self.test.assertNotIn(" 0 bytes", failure["message"])
        self.test.assertLessEqual(after_s, within_s, f"{kind} (to cut a link took {self.cutting_s:.1f} s): {failures}")

    def kill_rank(self, number):
        self.ranks[number].send_signal(signal.SIGKILL)
        self.death_is_told("kill", number)

    def death_is_told(self, kind, number):
        """The rank's process has just ended; it is started anew. What the old one ended with."""
        others = [rank for rank in self.ranks if rank.number != number]
        self.everybody_fails(kind, others, time.monotonic(), DEATH_TOLD_WITHIN_S,
                             lambda message: f"rank {number} " in message and "host" in message)
        status = self.ranks[number].end()
        self.ranks[number] = Rank(number)
        return status

    def cut(self, *hosts):
        """While calls run: all hosts are named, which are one or two."""
        self.cut_and_heal("pull" if len(hosts) == 1 else "cut", hosts, self.ranks)

    def cut_idle(self, *hosts):
        """While nothing is sent: a rank of another host is stopped, and the others wait for it."""
        late = self.ranks[max(host for host in range(HOSTS) if host not in hosts) * RANKS_PER_HOST + RANKS_PER_HOST - 1]
        late.send_signal(signal.SIGSTOP)
        self.nobody_fails(1.5, late)
        others = [rank for rank in self.ranks if rank is not late]
        self.cut_and_heal("pull idle" if len(hosts) == 1 else "cut idle", hosts, others, late)

    def cut_and_heal(self, kind, hosts, among, late=None):
        since = time.monotonic()
        link("cut-link", *hosts)
        self.cutting_s = time.monotonic() - since
        try:
            self.everybody_fails(kind, among, since, CUT_TOLD_WITHIN_S,
                                 lambda message: all(names(message, host) for host in hosts))
            if late:
                late.send_signal(signal.SIGCONT)
                late.hear("failed")
                late.hear("left")
        finally:
            link("heal-link", *hosts)

    def nobody_fails(self, for_s, stopped=None, what_is="nothing is wrong"):
        """In so much time."""
        awake = [rank for rank in self.ranks if rank is not stopped]
        said = select.select([rank.process.stdout for rank in awake], [], [], for_s)[0]
        for rank in awake:
            if rank.process.stdout in said:
                raise AssertionError(f"{rank.hear('failed')}, but {what_is}")

    def assert_nothing_left(self):
        """Neither processes nor threads nor descriptors."""
        self.test.assertEqual(running() - self.others, {rank.id for rank in self.ranks})
        for rank in self.ranks:
            rank.assert_nothing_left()

    def print_times(self):
        for kind, times in sorted(self.times.items()):
            print(f"{kind}: {len(times)} times, the last rank heard of it after {min(times):.2f} s at least, "
                  f"{statistics.median(times):.2f} s usually, {max(times):.2f} s at most", file=sys.stderr)

    def end(self):
        return [rank.end() for rank in self.ranks]


class Undisturbed(unittest.TestCase):
    def test_calls_go_on(self):
        """On memory that is given back and allocated anew for each call, often at the same place."""
        job = Job(self)
        job.meet()
        job.nobody_fails(10, None)
        self.assertEqual(job.end(), [0] * RANKS)


class Faults(unittest.TestCase):
    def setUp(self):
        self.job = Job(self)
        self.job.meet()

    def tearDown(self):
        self.job.assert_nothing_left()
        self.assertEqual(self.job.end(), [0] * RANKS)
        self.job.print_times()

    def test_a_killed_rank_is_named_on_every_host(self):
        for number in (RANKS - 1, 0, 1):
            self.job.kill_rank(number)
            self.job.meet()
        self.job.kill_rank(2)

    def test_a_cut_between_two_hosts_names_the_pair(self):
        for hosts in ((1, 2), (0, 1)):  # without the root of the tree of hosts, and with it
            self.job.cut(*hosts)
            self.job.meet()
            self.job.cut_idle(*hosts)
            self.job.meet()
        self.job.kill_rank(RANKS - 1)

    def test_a_host_whose_cable_is_pulled_is_named(self):
        for host in (1, 0):
            self.job.cut(host)
            self.job.meet()
            self.job.cut_idle(host)
            self.job.meet()
        self.job.kill_rank(RANKS - 1)

    def test_a_short_cut_is_survived(self):
        since = time.monotonic()
        link("cut-link", 0, 1)
        link("heal-link", 0, 1)
        cut_s = time.monotonic() - since
        self.job.nobody_fails(PATIENCE_S + 0.5, what_is=f"a link was cut for {cut_s:.1f} s only")
        self.job.kill_rank(RANKS - 1)

    def test_a_stopped_rank_is_waited_for(self):
        late = self.job.ranks[2]
        late.send_signal(signal.SIGSTOP)
        self.job.nobody_fails(PATIENCE_S + 1.5, late)  # it lives
        late.send_signal(signal.SIGCONT)
        self.job.nobody_fails(0.5)
        self.job.kill_rank(RANKS - 1)


class RandomFaults(unittest.TestCase):
    def test_in_a_row(self):
        self.in_a_row(self.one)

    def test_deaths_while_ranks_connect(self):
        self.in_a_row(self.early_death)

    def in_a_row(self, one):
        print(f"to repeat this: TENON_TEST_SEED={SEED} FAULTS={FAULTS}", file=sys.stderr)
        chance = random.Random(SEED)
        job = Job(self)
        for number in range(FAULTS):
            try:
                job.meet()
                one(job, chance)
                job.assert_nothing_left()
            except AssertionError as error:
                raise AssertionError(f"in fault {number}: {error}") from error
        self.assertEqual(job.end(), [0] * RANKS)
        job.print_times()

    @staticmethod
    def early_death(job, chance):
        """Each call may need connections that none has needed before."""
        job.nobody_fails(chance.random() * CONNECTED_WITHIN_S)
        job.kill_rank(chance.randrange(RANKS))

    @staticmethod
    def one(job, chance):
        kind = chance.choice(["kill", "kill", "kill", "stop and kill", "cut", "pull", "cut idle", "pull idle"])
        hosts = chance.sample(range(HOSTS), 2 if kind.startswith("cut") else 1)
        rank = chance.randrange(RANKS)
        if kind.startswith("stop"):
            job.ranks[rank].send_signal(signal.SIGSTOP)
            job.nobody_fails(chance.random(), job.ranks[rank])
        if kind.endswith("kill"):
            job.kill_rank(rank)
        elif kind.endswith("idle"):
            job.cut_idle(*hosts)
        else:
            job.cut(*hosts)


if __name__ == "__main__":
    unittest.main()
