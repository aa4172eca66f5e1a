"""What a job of several hosts is told of what commonly goes wrong: checks_test.py TENON TENON_PERF [unittest's arguments]

Run inside tests/cluster/run with 2 hosts and 2 ranks on each (ranks 0 and 1 are on host0, 2 and 3 on host1), or, for
Pairs, with 3 hosts and a rank on each. Each test makes one thing wrong, lets `tenon check` run as all ranks, and reads
its verdict.
"""

import os
import subprocess
import sys
import unittest

TENON, PERF = sys.argv.pop(1), sys.argv.pop(1)
DEADLINE_S = 60


def on_host(k, *command):
    return subprocess.run(["on-host", str(k), *command], check=True, capture_output=True, text=True, timeout=DEADLINE_S).stdout


class Job:
    """All ranks run a command; `settings` are of one rank each, {3: {"TENON_SPIN": "7"}}, or of all (None)."""

    def __init__(self, *command, settings={}):
        script = "".join(
            f"if [ {'1 = 1' if rank is None else f'$RANK = {rank}'} ]; then export {name}={value}; fi; "
            for rank, own in settings.items() for name, value in own.items())
        job = subprocess.run(["ranks", "sh", "-c", script + 'exec "$@"', "rank", *command], capture_output=True, text=True, timeout=DEADLINE_S)
        self.status, self.out, self.log = job.returncode, job.stdout, job.stderr


def check(settings={}):
    return Job(TENON, "check", settings=settings)


class Test(unittest.TestCase):
    hosts = 2

    def setUp(self):
        if int(os.environ["CLUSTER_HOSTS"]) != self.hosts:
            self.skipTest(f"it is for {self.hosts} hosts")

    def do(self, host, *command, undo=()):
        if undo:
            self.addCleanup(on_host, host, *undo)
        on_host(host, *command)

    def filter(self, host, rule):
        """What comes to the host from another and fits the rule."""
        self.do(host, "nft", f"add table inet check; add chain inet check input {{ type filter hook input priority 0; }}; "
                             f"add rule inet check input ip saddr 10.77.0.0/24 {rule}", undo=("nft", "delete table inet check"))

    def assert_right(self, job):
        self.assertEqual((job.status, job.log), (0, ""), job.out)
        self.assertIn("all right: 4 ranks on 2 hosts have met and exchanged data\n", job.out)

    def assert_wrong(self, job, *words):
        self.assertEqual(job.status, 1, job.out + job.log)
        self.assertNotIn("all right", job.out)
        for word in words:
            self.assertIn(word, job.out)


class Settings(Test):
    def test_a_job_without_faults_is_all_right(self):
        job = check()
        self.assert_right(job)
        self.assertRegex(job.out, r"hosts host0 \(10.77.0.1\), host1 \(10.77.0.2\) talk over eth0, MTU 9000, \d+ Mbit/s, by tcp\n")

    def test_that_must_agree_are_refused_and_named(self):
        job = check({2: {"TENON_DETERMINISTIC": "1"}, 3: {"TENON_DETERMINISTIC": "1"}})
        self.assert_wrong(job, "wrong: mismatch: ", "TENON_DETERMINISTIC=1", "TENON_DETERMINISTIC=0", "(process ", "on host0)", "on host1)")

    def test_that_differ_are_found_and_work(self):
        job = check({3: {"TENON_SPIN": "7"}})
        self.assert_wrong(job, "found: TENON_SPIN differs between ranks: it is 7 on rank 3 (host1), but not set on the other 3;", "apart from that it works: 4 ranks on 2 hosts")
        self.assertEqual(job.out.count("found:"), 1)

    def test_that_differ_are_a_warning_once(self):
        job = Job(PERF, "all_reduce", "--sizes", "8", "-n", "1", settings={0: {"TENON_TIMEOUT_MS": "50000"}})
        self.assertEqual(job.status, 0, job.log)
        self.assertEqual(job.log.count("TENON_TIMEOUT_MS differs between ranks: it is 50000 on rank 0 (host0), but not set on the other 3"), 1, job.log)

    def test_info_names_the_interfaces_and_the_network_once(self):
        job = Job(PERF, "all_reduce", "--sizes", "8", "-n", "1", settings={None: {"TENON_LOG": "info"}})
        self.assertEqual(job.status, 0, job.log)
        for line in ("hosts host0 (10.77.0.1), host1 (10.77.0.2) talk over eth0, MTU 9000", "host host0 joins others by tcp", "host host1 joins others by tcp"):
            self.assertEqual(job.log.count(line), 1, job.log)

    def test_another_jobs_name_is_told_on_both_sides(self):
        place = {"TENON_RENDEZVOUS": "host0:29400", "TENON_INIT_TIMEOUT_MS": "4000"}
        other = {"TENON_JOB": "another"}
        self.assert_wrong(check({None: place, 2: other, 3: other}),
                          "ranks 2 and 3 of 4 never came", "a stranger was refused, 10.77.0.2:", "does not know the job's secret",
                          "host host1 waited for", "10.77.0.1:29400, over eth0 does not accept this job's secret", "the same TENON_JOB")

    def test_a_network_that_a_rank_cannot_use_is_told_to_all(self):
        job = check({None: {"TENON_NETWORK": "rdma"}})
        if "all right" in job.out:
            self.skipTest("there is RDMA here")
        self.assert_wrong(job, "cannot use the network: TENON_NETWORK=rdma: ", "process")
        self.assertEqual(job.out.count("cannot use the network"), 4, "all say it where nobody ends them")

    def test_hardware_that_is_not_taken_is_found_with_the_cause(self):
        # As libibverbs sees it there is none, but the system shows some.
        script = ("mkdir -p /dev/shm/class/net /dev/shm/class/infiniband/none0 && mount --bind /sys/class/net /dev/shm/class/net"
                  " && mount --rbind /dev/shm/class /sys/class")
        self.do(1, "sh", "-c", script, undo=("sh", "-c", "umount -R /sys/class; umount /dev/shm/class/net; rm -r /dev/shm/class"))
        job = check()
        if "built without" in job.out:
            self.skipTest("the module of rdma was not built")
        self.assert_wrong(job, "found: there is hardware for a quicker network on ranks 2 and 3 (host1), which is not used: rdma: ", "RDMA device",
                          "TENON_NETWORK=tcp", "apart from that it works: 4 ranks on 2 hosts")
        self.assertEqual(job.out.count("found:"), 1)
        job = Job(PERF, "all_reduce", "--sizes", "8", "-n", "1")
        self.assertEqual(job.status, 0, job.log)
        self.assertEqual(job.log.count("there is hardware for a quicker network"), 1, job.log)
        job = check({None: {"TENON_NETWORK": "tcp"}})
        self.assert_right(job)


class Packets(Test):
    def test_interfaces_of_different_mtu_are_found(self):
        self.do(1, "ip", "link", "set", "dev", "eth0", "mtu", "1500", undo=("ip", "link", "set", "dev", "eth0", "mtu", "9000"))
        self.assert_wrong(check(), "found: the MTU differs between hosts: it is 1500 on host host1 (eth0), but 9000 on host host0 (eth0)")

    def test_of_full_size_that_vanish_are_told_to_all(self):
        for at, sender in ((0, 1), (1, 0)):
            with self.subTest(at=at):
                self.filter(at, "meta length > 1500 drop")
                job = check()
                self.assert_wrong(job, f"host host{sender} (eth0, 10.77.0.{sender + 1}) sends 9000 bytes a packet to host host{at} (10.77.0.{at + 1})", "small packets arrive, and those of 9000 bytes vanish", "mtu 1500")
                self.doCleanups()


    def test_that_cannot_be_tried_delay_a_job_no_longer_than_it_may_take_to_meet(self):
        # The first answer of host0 is to host1's way up the tree, all others to the connection that tries packets.
        self.filter(1, "tcp flags & (syn | ack) == (syn | ack) limit rate over 1/hour burst 1 packets drop")
        job = check({None: {"TENON_INIT_TIMEOUT_MS": "8000", "TENON_LOG": "info"}})
        self.assertIn("all right: 4 ranks on 2 hosts have met and exchanged data\n", job.out)
        self.assertIn("host host1 does not know whether packets of full size get through to 10.77.0.1: ", job.log)


class Pairs(Test):
    hosts = 3

    def test_of_hosts_that_are_no_edge_of_the_tree_are_tried_before_the_verdict(self):
        job = check()
        self.assertEqual((job.status, job.log), (0, ""), job.out)
        self.assertIn("all right: 3 ranks on 3 hosts", job.out)
        self.filter(1, "ip saddr 10.77.0.3 meta length > 1500 drop")
        self.assert_wrong(check({None: {"TENON_NETWORK_TIMEOUT_MS": "4000"}}), "rank 1", "rank 2", "MTU")


class Addresses(Test):
    def test_that_refuse_data_connections_are_named(self):
        # host1 connects to the rendezvous on host0; host0's ranks connect to those of host1 for data.
        self.filter(1, "tcp flags & (syn | ack) == syn reject with tcp reset")
        self.assert_wrong(check(), "on host0 cannot reach rank", "on host1 at 10.77.0.2:", "over its eth0", "Connection refused", "a firewall refuses connections there", "TENON_SOCKET_INTERFACE")

    def test_that_swallow_data_connections_are_named(self):
        self.filter(1, "tcp flags & (syn | ack) == syn drop")
        self.assert_wrong(check(), "on host0 cannot reach rank", "on host1 at 10.77.0.2:", "no answer in 2500 ms", "a firewall drops them")

    def test_that_no_route_leads_to_are_named(self):
        self.do(1, "ip", "link", "add", "far0", "type", "veth", "peer", "name", "far1", undo=("ip", "link", "del", "far0"))
        self.do(1, "ip", "addr", "add", "192.168.99.1/24", "dev", "far0")
        self.do(1, "ip", "link", "set", "far0", "up")
        self.do(1, "ip", "link", "set", "far1", "up")
        self.assert_right(check())
        job = check({2: {"TENON_SOCKET_INTERFACE": "far0"}, 3: {"TENON_SOCKET_INTERFACE": "far0"}})
        self.assert_wrong(job, "on host0 cannot reach rank", "on host1 at 192.168.99.1:", "over its far0", "no route leads there", "TENON_SOCKET_INTERFACE")

    def test_of_docker_that_all_hosts_have_are_not_told_others(self):
        for host in (0, 1):
            self.do(host, "ip", "link", "add", "docker0", "type", "bridge", undo=("ip", "link", "del", "docker0"))
            self.do(host, "ip", "addr", "add", "172.17.0.1/16", "dev", "docker0")
            self.do(host, "ip", "link", "set", "docker0", "up")
        job = check()
        self.assert_right(job)
        self.assertNotIn("docker", job.out)
        job = check({None: {"TENON_SOCKET_INTERFACE": "docker0"}})
        self.assert_wrong(job, "at 172.17.0.1:", "over its docker0", "the address is one of this host, too")

    def test_of_a_rendezvous_that_refuses_or_says_nothing_are_named(self):
        for verdict, words in (("reject with tcp reset", "Connection refused"), ("drop", "packets on the way there or back vanish")):
            with self.subTest(verdict=verdict):
                self.filter(0, f"tcp flags & (syn | ack) == syn {verdict}")
                job = check({None: {"TENON_INIT_TIMEOUT_MS": "4000"}})
                self.assert_wrong(job, "host host1 waited for", "cannot reach the job's root at 10.77.0.1: ", words, ", over eth0)", "ranks 2 and 3 of 4 never came")
                self.doCleanups()

    @unittest.skipUnless(os.environ.get("CLUSTER_ADDRESSES6"), "this kernel has no IPv6")
    def test_of_ipv6_join_hosts_that_are_named_so(self):
        for hosts in ("fd77::1,fd77::2", "[fd77::1]:2,[fd77::2]:2", "host0-ipv6:2,host1-ipv6"):
            with self.subTest(hosts=hosts):
                command = ["on-host", "0", TENON, "run", "--launch-agent", "rsh-agent", "--hosts", hosts, "--", TENON, "check"]
                job = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
                self.assertEqual(job.returncode, 0, job.stdout + job.stderr)
                self.assertIn("on 2 hosts have met and exchanged data\n", job.stdout)
                self.assertRegex(job.stdout, r"hosts host0 \(fd77::1\), host1 \(fd77::2\) talk over eth0, .*, by tcp\n")


if __name__ == "__main__":
    unittest.main()
