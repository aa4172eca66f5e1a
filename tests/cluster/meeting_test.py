"""Peers that fall silent while connections are made, and while ranks meet: meeting_test.py MEETING_RANK [unittest's arguments]

Run inside tests/cluster/run with 5 hosts and a rank on each. Links are cut and ranks killed or stopped before the first
call of a pair, in a meeting that waits for a rank, and at random moments of one that is under way: every rank that lives
gets an error that says who is missing, in time. What may take the time that TENON_INIT_TIMEOUT_MS says is only a rank that
never came. FAULTS=N: that many random ones (2). TENON_TEST_SEED repeats a run.
"""

import collections
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import unittest

MEETING_RANK = sys.argv.pop(1)
HOSTS = int(os.environ["CLUSTER_HOSTS"])
SEED = int(os.environ.get("TENON_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
FAULTS = int(os.environ.get("FAULTS", 2))
DEADLINE_S = 60
# By when a host that is out of reach, and a process that ended, is an error on every rank.
PATIENCE_S = int(os.environ.get("TENON_NETWORK_TIMEOUT_MS", 3000)) / 1000
CUT_TOLD_WITHIN_S = PATIENCE_S + 1
DEATH_TOLD_WITHIN_S = 3
# Of meetings at random moments: a rank that had not come yet never comes.
MEETS_WITHIN_S = 6


class Rank:
    """One rank's process, on the host of its number; a line tells it what to do, events and its log say what happens."""

    def __init__(self, number, **variables):
        self.number = number
        environment = os.environ | {"RANK": str(number), "WORLD_SIZE": str(HOSTS), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1",
                                    "MASTER_ADDR": "host0", "TENON_LOG": "debug", "TENON_INIT_TIMEOUT_MS": "60000"} | variables
        self.process = subprocess.Popen(["on-host", str(number), MEETING_RANK], env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.events, self.logged = collections.deque(), ""
        self.unread = {self.process.stdout: b"", self.process.stderr: b""}
        self.id = self.hear("started")["process"]

    def tell(self, *words):
        self.process.stdin.write((" ".join(words) + "\n").encode())

    def read(self, within_s):
        """Takes in what has been said. False when there is nothing in so much time."""
        ready = select.select(list(self.unread), [], [], within_s)[0]
        for pipe in ready:
            got = os.read(pipe.fileno(), 65536)
            if not got:
                del self.unread[pipe]
                continue
            *lines, self.unread[pipe] = (self.unread[pipe] + got).split(b"\n")
            for line in lines:
                if pipe is self.process.stdout:
                    self.events.append(json.loads(line))
                else:
                    self.logged += line.decode() + "\n"
        return bool(ready)

    def wait_until(self, holds, what):
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            if not self.unread or not self.read(max(0, deadline - time.monotonic())):
                raise AssertionError(f"rank {self.number}: no {what} within {DEADLINE_S} s; {list(self.events)}\n{self.logged}")

    def next_event(self):
        self.wait_until(lambda: self.events, "event")
        return self.events.popleft()

    def hear(self, event):
        said = self.next_event()
        if said["event"] != event:
            raise AssertionError(f"rank {self.number} says {said} and not '{event}'\n{self.logged}")
        return said

    def has_joined(self, host):
        self.wait_until(lambda: f"joined the rendezvous at 10.77.0.{host + 1}:" in self.logged, f"joining of host{host}")

    def kill(self):
        self.process.kill()

    def end(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


def names(message, host):
    return any(word in message for word in (f"host{host}", f"rank {host} ", f"10.77.0.{host + 1}:"))


def link(command, *hosts):
    subprocess.run([command, *map(str, hosts)], check=True)


class Test(unittest.TestCase):
    def start(self, **variables):
        self.ranks = [Rank(number, **variables) for number in range(HOSTS)]
        for rank in self.ranks:
            self.addCleanup(rank.end)

    def cut(self, *hosts):
        link("cut-link", *hosts)
        self.addCleanup(link, "heal-link", *hosts)
        return time.monotonic()

    def on_host(self, host, *command, undo=None):
        if undo:
            self.addCleanup(subprocess.run, ["on-host", str(host), *undo], check=True)
        return subprocess.run(["on-host", str(host), *command], check=True, capture_output=True, text=True, timeout=DEADLINE_S)

    def stop(self, rank):
        os.kill(rank.id, signal.SIGSTOP)
        self.addCleanup(os.kill, rank.id, signal.SIGCONT)

    def fails(self, rank, since, within_s, *named):
        """With words that name all of these hosts. A rank that lacks nothing in a call hears of it in the next."""
        while (said := rank.next_event())["event"] == "called":
            rank.tell("call")
        self.assertEqual(said["event"], "failed", rank.logged)
        for host in named:
            self.assertTrue(names(said["message"], host), f"rank {rank.number} names no host{host}: {said}")
        self.assertLessEqual(said["at_ms"] / 1000 - since, within_s, f"rank {rank.number}: {said}")
        return said

    def nobody_says_anything(self, ranks, for_s):
        pipes = {rank.process.stdout: rank for rank in ranks}
        for pipe in select.select(list(pipes), [], [], for_s)[0]:
            raise AssertionError(f"rank {pipes[pipe].number} says {pipes[pipe].next_event()}, but nothing is wrong")

    def all_meet(self, job):
        for rank in self.ranks:
            rank.tell("meet", f"job:{job}-{os.getpid()}")
        for rank in self.ranks:
            rank.hear("met")

    def all_go_on(self, job):
        """The same processes, when all is mended."""
        for rank in self.ranks:
            rank.tell("leave")
            rank.hear("left")
        self.all_meet(job)
        for rank in self.ranks:
            rank.tell("call")
        for rank in self.ranks:
            rank.hear("called")


class AfterMeeting(Test):
    """Of pairs that are no edge of the tree of hosts, and have no connection before they first need one."""

    def setUp(self):
        self.start(TENON_NETWORK=os.environ.get("TENON_NETWORK", "tcp"))

    def call(self, *ranks):
        for rank in ranks:
            rank.tell("call")
        return time.monotonic()


class FirstCalls(AfterMeeting):
    def test_over_a_link_that_is_cut_already_name_the_pair(self):
        self.all_meet("cut-before")
        self.cut(1, 2)
        since = self.call(*self.ranks)
        for rank in self.ranks:
            self.fails(rank, since, CUT_TOLD_WITHIN_S, 1, 2)
        link("heal-link", 1, 2)
        self.all_go_on("healed")

    def test_over_a_link_that_is_cut_while_the_peer_does_something_else_name_the_pair(self):
        self.all_meet("cut-while-late")
        late = self.ranks[-1]
        self.stop(late)
        others = self.ranks[:-1]
        self.call(*others)
        self.nobody_says_anything(others, 1)
        since = self.cut(1, late.number)
        for rank in others:
            self.fails(rank, since, CUT_TOLD_WITHIN_S, 1, late.number)

    def test_survive_the_loss_of_the_first_packets(self):
        self.all_meet("losses")
        peer = HOSTS - 1
        self.on_host(peer, "nft", "add table inet losses; add chain inet losses input { type filter hook input priority 0; }; "
                     "add rule inet losses input ip saddr 10.77.0.0/24 tcp flags & (syn | ack) == syn quota 600 bytes drop",
                     undo=("nft", "delete table inet losses"))
        self.call(*self.ranks)
        for rank in self.ranks:
            rank.hear("called")


class FirstCallsOfTheLate(AfterMeeting):
    def test_wait_for_a_peer_that_does_something_else_while_its_host_answers(self):
        self.all_meet("late")
        late = self.ranks[-1]
        self.stop(late)
        others = self.ranks[:-1]
        self.call(*self.ranks)
        self.nobody_says_anything(others, PATIENCE_S + 1.5)
        os.kill(late.id, signal.SIGCONT)
        for rank in self.ranks:
            rank.hear("called")

    def test_wait_for_a_peer_that_has_more_to_accept_than_its_system_holds(self):
        late = self.ranks[-1]
        before = self.on_host(late.number, "cat", "/proc/sys/net/core/somaxconn").stdout.strip()
        most = lambda count: ("sh", "-c", f"echo {count} > /proc/sys/net/core/somaxconn")
        self.on_host(late.number, *most(0), undo=most(before))
        self.all_meet("full")
        self.stop(late)
        others = self.ranks[:-1]
        self.call(*self.ranks)
        self.nobody_says_anything(others, 2 * PATIENCE_S + 1)
        os.kill(late.id, signal.SIGCONT)
        for rank in self.ranks:
            rank.hear("called")


class WhileMeeting(Test):
    """All but the last rank have come, and wait for it."""

    def setUp(self):
        self.start()

    def come_by_name(self):
        """All hosts are children of host0."""
        for rank in self.ranks[:-1]:
            rank.tell("meet", f"job:meeting-{os.getpid()}")
        for rank in self.ranks[1:-1]:
            rank.has_joined(0)
        return self.ranks[:-1]

    def come_to_a_chain(self):
        """host1 is the only child of host0, whose rank comes later than the others, and all others are children of host1."""
        self.ranks[0].tell("make")
        unique_id = self.ranks[0].hear("made")["id"]
        for rank in self.ranks[1:-1]:
            rank.tell("meet", unique_id)
            rank.has_joined(min(rank.number - 1, 1))
        self.ranks[0].tell("meet", unique_id)
        return self.ranks[:-1]

    def expect_all_fail(self, come, since, within_s, gone=None, about=()):
        """Each names the host that is gone; that one's own rank, where it lives, whoever it lost."""
        for rank in come:
            if rank.number == gone and rank.process.poll() is not None:
                continue
            self.fails(rank, since, within_s, *(() if rank.number == gone else about))

    def check_cut(self, come, *hosts):
        since = self.cut(*hosts)
        self.expect_all_fail(come, since, CUT_TOLD_WITHIN_S, hosts[0] if len(hosts) == 1 else None, hosts)
        link("heal-link", *hosts)
        self.all_go_on("again")

    def check_kill(self, come, number):
        victim = self.ranks[number]
        since = time.monotonic()
        victim.kill()
        victim.process.wait()
        self.expect_all_fail(come, since, DEATH_TOLD_WITHIN_S, number, (number,))


class Meeting(WhileMeeting):
    def test_the_roots_host_that_is_cut_off(self):
        self.check_cut(self.come_by_name(), 0)

    def test_the_root_that_is_killed(self):
        self.check_kill(self.come_by_name(), 0)

    def test_a_host_in_the_middle_of_the_tree_that_is_cut_off(self):
        self.check_cut(self.come_to_a_chain(), 1)

    def test_a_rank_in_the_middle_of_the_tree_that_is_killed(self):
        self.check_kill(self.come_to_a_chain(), 1)


class MeetingEverywhere(WhileMeeting):
    def test_a_host_that_is_cut_off(self):
        self.check_cut(self.come_by_name(), 2)

    def test_a_rank_that_is_killed(self):
        self.check_kill(self.come_by_name(), 2)

    def test_a_host_in_the_middle_of_the_tree_that_is_cut_from_the_root(self):
        self.check_cut(self.come_to_a_chain(), 0, 1)

    def test_a_host_at_the_end_of_the_tree_that_is_cut_off(self):
        self.check_cut(self.come_to_a_chain(), 3)

    def test_the_roots_host_that_is_cut_off_from_a_chain(self):
        self.check_cut(self.come_to_a_chain(), 0)

    def test_a_stopped_process_in_the_middle_of_the_tree_is_waited_for(self):
        come = self.come_to_a_chain()
        self.stop(self.ranks[1])
        self.nobody_says_anything(come, PATIENCE_S + 1.5)
        os.kill(self.ranks[1].id, signal.SIGCONT)
        self.ranks[-1].tell("leave")
        self.ranks[-1].hear("left")
        self.check_kill(come, 3)


class RandomMoments(Test):
    """Of meetings under way; whoever has met by then makes a call."""

    def test_of_faults(self):
        print(f"to repeat this: TENON_TEST_SEED={SEED} FAULTS={FAULTS}", file=sys.stderr)
        chance = random.Random(SEED)
        for number in range(FAULTS):
            kind, victim = chance.choice(["cut", "kill"]), chance.randrange(HOSTS)
            by, after_s = chance.choice(["name", "id"]), chance.random() * chance.choice([0.03, 0.3])
            with self.subTest(number=number, kind=kind, victim=victim, by=by, after_s=after_s):
                self.one(number, chance, kind, victim, by, after_s)
            self.doCleanups()

    def one(self, number, chance, kind, victim, by, after_s):
        self.start(TENON_INIT_TIMEOUT_MS=str(MEETS_WITHIN_S * 1000))
        meeting = f"job:random-{os.getpid()}-{number}"
        if by == "id":
            self.ranks[0].tell("make")
            meeting = self.ranks[0].hear("made")["id"]
        begun = time.monotonic()
        for rank in chance.sample(self.ranks, HOSTS):
            rank.tell("meet", meeting)
            rank.tell("call")
        select.select([], [], [], after_s)  # the moment
        since = time.monotonic()
        if kind == "cut":
            since = self.cut(victim)
        else:
            self.ranks[victim].kill()
        for rank in self.ranks:
            if kind == "kill" and rank.number == victim:
                continue
            self.check_end(rank, rank.next_event(), begun, since, kind, victim)

    def check_end(self, rank, said, begun, since, kind, victim):
        """Whoever has met, and perhaps has called, has an error at its next call, or is through before the fault."""
        while said["event"] in ("met", "called"):
            if said["event"] == "called":
                rank.tell("call")
            said = rank.next_event()
        self.assertEqual(said["event"], "failed", said)
        message, at = said["message"], said["at_ms"] / 1000
        if rank.number != victim:
            self.assertTrue(names(message, victim) or "the job has failed to meet" in message, said)
        # Who had not heard of the root yet cannot know that it ever was there.
        never_came = any(words in message for words in ("never came", "cannot reach the job's root", "nobody serves this unique id"))
        within = CUT_TOLD_WITHIN_S if kind == "cut" else DEATH_TOLD_WITHIN_S
        if never_came:
            self.assertLessEqual(at - begun, MEETS_WITHIN_S + 2, said)
        else:
            self.assertLessEqual(at - since, within, said)


if __name__ == "__main__":
    unittest.main()
