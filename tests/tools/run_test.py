"""What users see of `tenon run`: run_test.py PROGRAM [unittest's arguments]

Ranks that must stay alive block in a read or in signal.pause; nothing here sleeps. PYTHON is the rank's program.
"""

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)
PYTHON = [sys.executable, "-c"]
DEADLINE_S = 60
FOREVER = "import signal\nwhile True: signal.pause()"


def tenon_run(*arguments, **options):
    return subprocess.run([PROGRAM, "run", *arguments], capture_output=True, text=True, timeout=DEADLINE_S, **options)


class EmulatedDevices(unittest.TestCase):
    def test_are_one_machine_for_all_ranks_and_end_with_the_launcher(self):
        # In one write: without prefixes, nobody keeps the ranks' lines apart.
        show = "import os; path = os.environ['TENON_EMULATED_MACHINE']; os.write(1, f'{path} {os.stat(path).st_ino}\\n'.encode())"
        result = tenon_run("-n", "3", "--emulated-devices", "--no-prefix", "--", *PYTHON, show)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        lines = result.stdout.splitlines()
        self.assertEqual((len(lines), len(set(lines))), (3, 1), lines)
        self.assertFalse(os.path.exists(lines[0].split()[0]))

    def test_are_not_for_several_hosts(self):
        result = tenon_run("--hosts", "localhost:1", "--emulated-devices", "--", "true")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--emulated-devices", result.stderr)


def without_prefix(line):
    return re.sub(r"^\[\d+\] ", "", line)


def is_gone(pid):
    """Waits until the process has ended (or is a zombie that somebody else must collect)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], DEADLINE_S)[0])
    finally:
        os.close(descriptor)


class Output(unittest.TestCase):
    def test_every_line_names_its_rank(self):
        result = tenon_run("-n", "3", "--", *PYTHON, "import os, sys; print('a'); print('b'); "
                           "print('error of', os.environ['RANK'], file=sys.stderr)")
        self.assertEqual(result.returncode, 0, result.stderr)
        for rank in range(3):
            own = [line for line in result.stdout.splitlines() if line.startswith(f"[{rank}] ")]
            self.assertEqual(own, [f"[{rank}] a", f"[{rank}] b"])
            self.assertIn(f"[{rank}] error of {rank}\n", result.stderr)

    def test_lines_of_several_ranks_do_not_mix(self):
        result = tenon_run("-n", "4", "--", *PYTHON, "import os\nfor i in range(2000): os.write(1, b'x' * 50); os.write(1, b'y\\n')")
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), 8000)
        self.assertEqual([line for line in lines if not re.fullmatch(r"\[[0-3]\] x{50}y", line)], [])

    def test_a_last_line_without_newline_is_shown(self):
        self.assertEqual(tenon_run("-n", "1", "--", "printf", "half a line").stdout, "[0] half a line\n")

    def test_a_very_long_line_arrives_whole(self):
        result = tenon_run("-n", "1", "--", *PYTHON, "print('z' * 1000000)")
        self.assertEqual(result.stdout, "[0] " + "z" * 1000000 + "\n")

    def test_no_prefix_passes_output_on(self):
        self.assertEqual(tenon_run("-n", "2", "--no-prefix", "--", "echo", "same").stdout, "same\nsame\n")

    def test_the_standard_input_is_that_of_rank_0(self):
        self.assertEqual(tenon_run("-n", "3", "--", "cat", input="question\n").stdout, "[0] question\n")


class Environment(unittest.TestCase):
    def values(self, name, *options):
        result = tenon_run("-n", "3", *options, "--", *PYTHON, f"import os; print(os.environ['{name}'])")
        return sorted(without_prefix(line) for line in result.stdout.splitlines())

    def test_ranks_know_who_they_are(self):
        self.assertEqual(self.values("RANK"), ["0", "1", "2"])
        self.assertEqual(self.values("LOCAL_RANK"), ["0", "1", "2"])
        self.assertEqual(self.values("WORLD_SIZE"), ["3"] * 3)
        self.assertEqual(self.values("LOCAL_WORLD_SIZE"), ["3"] * 3)

    def test_a_job_has_one_name_and_no_other_has_it(self):
        first, second = self.values("TENON_JOB"), self.values("TENON_JOB")
        self.assertEqual(len(set(first)), 1)
        self.assertNotEqual(first, second)
        self.assertLessEqual(len(first[0]), 64)

    def test_the_job_can_be_named(self):
        self.assertEqual(self.values("TENON_JOB", "--job", "mine"), ["mine"] * 3)


class Endings(unittest.TestCase):
    def test_arguments_are_passed_as_they_are(self):
        result = tenon_run("-n", "1", "--", *PYTHON, "import sys; print(sys.argv[1:])", "-n", "--", "--version", "a b")
        self.assertEqual(result.stdout, "[0] ['-n', '--', '--version', 'a b']\n")

    def test_a_failing_rank_ends_the_others_and_is_named(self):
        result = tenon_run("-n", "3", "--", *PYTHON, f"import os, sys\nif os.environ['RANK'] == '1': sys.exit(7)\n{FOREVER}")
        self.assertEqual(result.returncode, 7)
        self.assertIn("rank 1 ended with exit status 7; ending the other ranks", result.stderr)

    def test_a_rank_ended_by_a_signal_is_named_with_it(self):
        result = tenon_run("-n", "2", "--", *PYTHON,
                           f"import os, signal\nif os.environ['RANK'] == '0': os.kill(os.getpid(), signal.SIGSEGV)\n{FOREVER}")
        self.assertEqual(result.returncode, 128 + signal.SIGSEGV)
        self.assertIn("rank 0 was ended by signal 11 (SIGSEGV)", result.stderr)

    def test_a_rank_that_ignores_sigterm_is_killed_after_the_grace(self):
        # Rank 1 fails only when rank 0 has said, through the file, that it ignores SIGTERM.
        read, write = os.pipe()
        result = tenon_run("-n", "2", "--grace-ms", "200", "--", *PYTHON,
                           "import os, signal, sys\n"
                           f"if os.environ['RANK'] == '1': os.read({read}, 1); sys.exit(3)\n"
                           f"signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write({write}, b'x')\n{FOREVER}",
                           pass_fds=(read, write))
        os.close(read)
        os.close(write)
        self.assertEqual(result.returncode, 3)
        self.assertIn("rank 0 did not end within 200 ms of SIGTERM: killed", result.stderr)

    def test_a_reader_who_leaves_ends_the_job(self):
        process = subprocess.Popen([PROGRAM, "run", "-n", "2", "--", "yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(DEADLINE_S), 128 + signal.SIGPIPE)
        process.stderr.close()


class Signals(unittest.TestCase):
    """A job whose ranks each say their process id, and that of a child of theirs, and then wait for ever."""

    CHILD = f"import subprocess, sys, os\nchild = subprocess.Popen([sys.executable, '-c', '''{FOREVER}'''])\n"

    def start(self, program, ranks=2):
        process = subprocess.Popen([PROGRAM, "run", "-n", str(ranks), "--", *PYTHON, program],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        ids = [int(word) for _ in range(ranks) for word in without_prefix(process.stdout.readline()).split()]
        return process, ids

    def test_signals_reach_every_rank(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process, _ = self.start("import os, signal, sys\n"
                                    f"signal.signal({int(number)}, lambda *_: (os.write(1, b'got it\\n'), os._exit(0)))\n"
                                    f"print(os.getpid(), flush=True)\n{FOREVER}", ranks=3)
            process.send_signal(number)
            out, err = process.communicate(timeout=DEADLINE_S)
            self.assertEqual(process.returncode, 0, err)
            self.assertEqual(sorted(out.splitlines()), ["[0] got it", "[1] got it", "[2] got it"])

    def test_a_signal_that_ends_the_ranks_gives_its_status(self):
        process, ids = self.start(f"import os\nprint(os.getpid(), flush=True)\n{FOREVER}")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(DEADLINE_S), 128 + signal.SIGTERM)
        for pid in ids:
            self.assertTrue(is_gone(pid))

    def test_a_second_interrupt_ends_ranks_that_ignore_the_first(self):
        process, _ = self.start("import os, signal\n"
                                "signal.signal(signal.SIGINT, lambda *_: os.write(1, b'not now\\n'))\n"
                                f"print(os.getpid(), flush=True)\n{FOREVER}", ranks=1)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.stdout.readline(), "[0] not now\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(DEADLINE_S), 128 + signal.SIGTERM)

    def test_what_a_rank_left_running_ends_with_it(self):
        process, ids = self.start(self.CHILD + "print(child.pid, flush=True)")
        self.assertEqual(process.wait(DEADLINE_S), 0)
        for pid in ids:
            self.assertTrue(is_gone(pid))

    def test_nothing_survives_a_killed_launcher(self):
        process, ids = self.start(self.CHILD + f"print(os.getpid(), child.pid, flush=True)\n{FOREVER}")
        self.assertEqual(len(ids), 4)
        process.kill()
        for pid in ids:
            self.assertTrue(is_gone(pid))


class Terminal(unittest.TestCase):
    SAY = "import os; print('force' if os.environ.get('CLICOLOR_FORCE') == '1' else 'as it is', flush=True)"

    def said_on_terminal(self, *arguments, **variables):
        ours, theirs = os.openpty()
        try:
            clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CLICOLOR_FORCE")}
            status = subprocess.run([PROGRAM, "run", *arguments, "--", *PYTHON, self.SAY], stdout=theirs, timeout=DEADLINE_S,
                                    env=clean | variables).returncode
            self.assertEqual(status, 0)
            return os.read(ours, 4096).decode().splitlines()
        finally:
            os.close(ours)
            os.close(theirs)

    def test_ranks_know_that_their_output_ends_there(self):
        self.assertEqual(self.said_on_terminal("-n", "1"), ["[0] force"])
        self.assertEqual(self.said_on_terminal("-n", "1", NO_COLOR="1"), ["[0] as it is"])
        self.assertEqual(self.said_on_terminal("-n", "1", CLICOLOR_FORCE="0"), ["[0] as it is"])

    def test_also_on_other_hosts(self):
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as agent:
            agent.write('shift; sh -c "$*"\n')
            agent.flush()
            self.assertEqual(self.said_on_terminal("--hosts", "a", "--launch-agent", f"env -u CLICOLOR_FORCE sh {agent.name}"), ["[0] force"])


class Hosts(unittest.TestCase):
    """Ranks on several hosts, of which the agent only pretends that there are several."""

    SAY = ("import os; e = os.environ; print(e['RANK'], e['WORLD_SIZE'], e['LOCAL_RANK'], e['LOCAL_WORLD_SIZE'],"
           " e['MASTER_ADDR'], e['HOST'], e.get('MORE'), e['TENON_JOB'], flush=True)\n")

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.agent = self.folder.name + "/agent"
        # In a session of its own, as on another host: what happens to its parent does not concern it.
        with open(self.agent, "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\nexport HOST=$1\nshift\nexec setsid --wait sh -c "$*"\n')
        os.chmod(self.agent, 0o755)

    def arguments(self, hosts, *more):
        return ["--hosts", hosts, "--launch-agent", self.agent, *more, "--", *PYTHON]

    def test_ranks_are_numbered_over_all_hosts_in_order(self):
        result = tenon_run(*self.arguments("a:2,b,c:2", "-x", "MORE=it's more"), self.SAY)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = sorted(result.stdout.splitlines())
        job = lines[0].split()[-1]
        self.assertEqual(lines, [f"[{rank}] {rank} 5 {local} {there} a {host} it's more {job}" for rank, local, there, host in
                                 [(0, 0, 2, "a"), (1, 1, 2, "a"), (2, 0, 1, "b"), (3, 0, 2, "c"), (4, 1, 2, "c")]])

    def test_the_name_of_the_job_is_on_no_command_line(self):
        look = ("import glob, os\njob = os.environ['TENON_JOB'].encode()\n"
                "def words(path):\n  try: return open(path, 'rb').read()\n  except OSError: return b''\n"
                "print('read by others:', [path for path in glob.glob('/proc/[0-9]*/cmdline') if job in words(path)])")
        result = tenon_run(*self.arguments("a,b"), look)
        self.assertEqual(sorted(result.stdout.splitlines()), [f"[{rank}] read by others: []" for rank in (0, 1)],
                         result.stderr)

    def test_a_given_name_is_that_of_the_ranks_of_all_hosts(self):
        result = tenon_run(*self.arguments("a,b", "--job", "it's mine"), "import os; print(os.environ['TENON_JOB'])")
        self.assertEqual(sorted(result.stdout.splitlines()), ["[0] it's mine", "[1] it's mine"], result.stderr)
        result = tenon_run(*self.arguments("a,b", "-x", "TENON_JOB=mine"), "")
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("--job", result.stderr)

    def test_what_begins_with_tenon_goes_along(self):
        result = tenon_run(*self.arguments("a,b"), "import os; print(os.environ['TENON_LOG'])",
                           env=os.environ | {"TENON_LOG": "debug"})
        self.assertEqual(sorted(result.stdout.splitlines()), ["[0] debug", "[1] debug"])

    def test_a_failing_rank_ends_those_of_other_hosts(self):
        result = tenon_run(*self.arguments("a:2,b:2"), f"import os, sys\nif os.environ['RANK'] == '2': sys.exit(7)\n{FOREVER}")
        self.assertEqual(result.returncode, 7)
        self.assertIn("tenon run: rank 2 ended with exit status 7", result.stderr)
        self.assertIn("tenon run: host b ended with exit status 7; ending the other hosts\n", result.stderr)

    def test_nothing_survives_on_other_hosts_when_the_launcher_is_killed(self):
        process = subprocess.Popen([PROGRAM, "run", *self.arguments("a:2,b:2", "--no-prefix"),
                                    f"import os\nos.write(1, b'%d\\n' % os.getpid())\n{FOREVER}"],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        ids = [int(process.stdout.readline()) for _ in range(4)]
        process.kill()
        for pid in ids:
            self.assertTrue(is_gone(pid))
        process.wait(DEADLINE_S)

    def test_an_agent_that_is_not_there_is_said_so(self):
        result = tenon_run("--hosts", "a,b", "--launch-agent", "no-such-agent", "--", "true")
        self.assertEqual(result.returncode, 126)
        self.assertIn("cannot start no-such-agent", result.stderr)

    def test_ipv6_addresses_have_colons_of_their_own(self):
        self.assertEqual(self.hosts_and_master("fd77::1,me@fd77::2"), {("0", "1", "fd77::1", "fd77::1"), ("1", "1", "me@fd77::2", "fd77::1")})
        self.assertEqual(self.hosts_and_master("me@[fd77::1]:1,[fd77::2]"),
                         {("0", "1", "me@fd77::1", "fd77::1"), ("1", "1", "fd77::2", "fd77::1")})
        self.assertEqual(self.hosts_and_master("[fd77::1]:2"), {("0", "2", "fd77::1", "fd77::1"), ("1", "2", "fd77::1", "fd77::1")})

    def hosts_and_master(self, hosts):
        result = tenon_run(*self.arguments(hosts), self.SAY)
        self.assertEqual(result.returncode, 0, result.stderr)
        said = [line.split()[1:] for line in result.stdout.splitlines()]
        return {(words[0], words[3], words[5], words[4]) for words in said}

    def test_a_name_that_means_another_host_everywhere_is_not_told_others(self):
        self.assertEqual({master for *_, master in self.hosts_and_master("localhost:2")}, {"localhost"}, "nobody else is there")
        for first in ("localhost", "me@127.0.0.1", "::1"):
            result = tenon_run(*self.arguments(f"{first},b"), self.SAY)
            if result.returncode == 2:  # this host has no other address
                self.assertIn("write the name or address by which they reach it", result.stderr)
                continue
            masters = {line.split()[5] for line in result.stdout.splitlines()}
            self.assertEqual(len(masters), 1, result.stdout)
            self.assertNotRegex(masters.pop(), r"localhost|^127\.|^::1$")

    def test_wrong_hosts_are_one_line_and_exit_status_2(self):
        for hosts in ("a:0", "a:b", ":3", "a,,b", "-x:2", "a:9999", "[fd77::1", "[fd77::1]2", "[fd77::1]:", "[]:1", "me@-x"):
            result = tenon_run("--hosts", hosts, "--", "true")
            self.assertEqual((result.returncode, result.stdout), (2, ""), hosts)
            self.assertRegex(result.stderr, r"\Atenon run: --hosts: [^\n]+\n\Z")


class BadInput(unittest.TestCase):
    def test_is_one_line_and_exit_status_2(self):
        for arguments in (["-n", "0", "--", "true"], ["-n", "two", "--", "true"], ["-n", "2"], ["--bogus", "--", "true"],
                          ["--job", "j" * 65, "--", "true"], ["--job", "a\nb", "--", "true"],
                          ["--grace-ms", "-1", "--", "true"]):
            result = tenon_run(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertEqual(result.stdout, "")
            self.assertRegex(result.stderr, r"\Atenon: [^\n]+\n\Z")

    def test_a_missing_program_is_said_once(self):
        result = tenon_run("-n", "4", "--", "no-such-program")
        self.assertEqual((result.returncode, result.stderr), (127, "tenon run: no program no-such-program\n"))


if __name__ == "__main__":
    unittest.main()
