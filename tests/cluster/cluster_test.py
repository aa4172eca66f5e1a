"""What tests rely on in tests/cluster/run, seen from outside: cluster_test.py [unittest's arguments]

Status 77 where no cluster can be made. hosts_test.py sees the rest from inside. No test looks at how fast anything is.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

RUN = str(Path(__file__).with_name("run"))
PYTHON = [sys.executable, "-B", "-c"]
DEADLINE_S = 60
FOREVER = "tail -f /dev/null"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"

# A rank that meets the other one of its host by names that the ranks of other hosts use too.
MEET = """
import os, pathlib, socket
host, path, local = socket.gethostname(), pathlib.Path("/dev/shm/meet"), socket.socket(socket.AF_UNIX)
if os.environ["LOCAL_RANK"] == "0":
    assert not path.exists()
    path.write_text(host)
    local.bind("\\0meet")
    local.listen()
    local.accept()[0].sendall(host.encode())
else:
    while local.connect_ex("\\0meet"): os.sched_yield()
    assert local.recv(100).decode() == path.read_text() == host
"""


def cluster(*arguments, **options):
    return subprocess.run([RUN, "--timeout", str(DEADLINE_S), *arguments], capture_output=True, text=True, timeout=2 * DEADLINE_S, **options)


def namespaces_in_use():
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # Processes end, and others' are not shown to everybody.
            found.update(os.readlink(link) for link in (process / "ns").iterdir())
    return found


class Commands(unittest.TestCase):
    def test_give_the_status(self):
        for status in (0, 1, 42):
            self.assertEqual(cluster("--", "sh", "-c", f"exit {status}").returncode, status)

    def test_have_input_and_output(self):
        result = cluster("--", "on-host", "1", "cat", input="question\n")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "question\n", ""))

    def test_that_take_too_long_give_124(self):
        for command in (FOREVER.split(), [*PYTHON, STUBBORN]):
            self.assertEqual(cluster("--timeout", "1", "--", *command).returncode, 124, command)

    def test_run_beside_other_clusters(self):
        with subprocess.Popen([RUN, "--", "sh", "-c", "echo ready; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            self.assertEqual(other.stdout.readline(), b"ready\n")
            self.assertEqual(cluster("--", "ranks", "hostname").returncode, 0)
            other.communicate()
        self.assertEqual(other.returncode, 0)


class Options(unittest.TestCase):
    def test_that_are_wrong_give_one_line_and_status_2(self):
        for options in (["--hosts", "0"], ["--hosts", "x"], ["--rate", "fast"], ["--pods", "3"], ["--bogus"]):
            result = cluster(*options, "--", "true")
            self.assertEqual((result.returncode, result.stdout), (2, ""), options)
            self.assertRegex(result.stderr, r"\Acluster: [^\n]+\n\Z")

    def test_that_the_machine_cannot_have_give_one_line_and_status_77(self):
        result = cluster("--check", "--delay-us", "100")
        self.assertRegex(result.stderr, r"\Acluster: [^\n]+ \(netem\)[^\n]+\n\Z" if result.returncode == 77 else r"\A\Z")
        self.assertIn(result.returncode, (0, 77))


class Ranks(unittest.TestCase):
    def ranks(self, command):
        return cluster("--hosts", "2", "--ranks-per-host", "2", "--", "ranks", *command)

    def test_are_told_who_they_are(self):
        names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT CLUSTER_HOST CLUSTER_ADDRESS".split()
        result = self.ranks(["sh", "-c", f"echo $(hostname) {' '.join('$' + name for name in names)}"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(sorted(result.stdout.splitlines()), ["host0 0 0 4 2 10.77.0.1 29500 0 10.77.0.1",
                                                              "host0 1 1 4 2 10.77.0.1 29500 0 10.77.0.1",
                                                              "host1 2 0 4 2 10.77.0.1 29500 1 10.77.0.2",
                                                              "host1 3 1 4 2 10.77.0.1 29500 1 10.77.0.2"])

    def test_are_of_a_job_of_their_own(self):
        show = "ranks sh -c 'echo $TENON_JOB'"
        jobs = [job for _ in range(2) for job in cluster("--", "sh", "-c", f"{show}; {show}").stdout.split()]
        self.assertEqual([jobs.count(job) for job in jobs], [2] * 8)

    def test_give_the_first_status_that_is_not_0(self):
        self.assertEqual(self.ranks(["sh", "-c", "exit $((RANK * 3))"]).returncode, 3)

    def test_share_memory_and_abstract_sockets_with_those_of_their_host_alone(self):
        result = self.ranks([*PYTHON, MEET])
        self.assertEqual((result.returncode, result.stderr), (0, ""))


class Traces(unittest.TestCase):
    def test_are_gone_however_the_cluster_ends(self):
        # The command and a rank on each host show their namespaces and stay; so does a process that left its session. Nor
        # would the cluster's own time limit end them before the test gives up.
        show = f"cd /proc/self/ns; readlink net ipc uts mnt pid; exec {FOREVER}"
        command = [RUN, "--timeout", str(5 * DEADLINE_S), "--", "bash", "-c", f"setsid {FOREVER} & ranks sh -c '{show}' & {show}"]
        for end in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(end=end), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
                own = {run.stdout.readline().strip() for _ in range(3 * 5)}
                self.assertEqual(len(own), 3 * 4 + 1, own)
                self.assertLessEqual(own, namespaces_in_use())
                run.send_signal(end)
                deadline = time.monotonic() + DEADLINE_S
                while own & namespaces_in_use():
                    self.assertLess(time.monotonic(), deadline, "processes of the cluster are left")


if __name__ == "__main__":
    check = cluster("--check")
    if check.returncode == 77:
        print(check.stderr)
        sys.exit(77)
    unittest.main()
