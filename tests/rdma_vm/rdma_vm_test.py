"""What tests rely on in tests/rdma_vm/run and prepare, seen from outside: rdma_vm_test.py SAVED [unittest's arguments]

VMs that boot are saved in the folder SAVED, unless a test is about how they boot. Status 77 where the VM cannot run. devices_test.py sees the rest from inside. No test looks at how fast anything is.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import kernel

SAVED = sys.argv.pop(1)
HERE = Path(__file__).resolve().parent
RUN = str(HERE / "run")
DEADLINE_S = 400


def vm(*arguments, **options):
    return subprocess.run([RUN, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, **options)


def families():
    """process -> its parent, of all that there are."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    return found


class Commands(unittest.TestCase):
    # Two sentences, of both kinds of output, then what the ranks know, and a status.
    SHOW = """echo "in $PWD with $SENTENCE"; echo aside >&2; cat; echo written >left.txt
              ranks sh -c 'echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $MASTER_ADDR $(hostname)'; exit 42"""

    def test_run_as_if_they_were_here(self):
        sentence = "words, 'quotes' and\nlines"
        with tempfile.TemporaryDirectory() as folder:
            done = vm("--saved", SAVED, "--ranks-per-host", "2", "--", "sh", "-c", self.SHOW, cwd=folder,
                      env=os.environ | {"SENTENCE": sentence})
            self.assertEqual((done.returncode, done.stderr), (42, "aside\n"))
            self.assertEqual(os.listdir(folder), [], "what is written stays in the VM")
        said = done.stdout.splitlines()
        self.assertEqual("\n".join(said[:2]), f"in {folder} with {sentence}")
        self.assertEqual(sorted(said[2:]), [f"{rank} {rank % 2} 4 2 10.77.0.1 host{rank // 2}" for rank in range(4)])

    def test_that_take_too_long_give_124(self):
        self.assertEqual(vm("--saved", SAVED, "--timeout", "1", "--", "tail", "-f", "/dev/null").returncode, 124)


def state_in(folder):
    state, = (path for path in Path(folder).iterdir() if path.name != "lock")
    return state


class Saved(unittest.TestCase):
    ASK = "--times", "--", "sh", "-c", "cat /proc/sys/kernel/random/uuid; date +%s"

    @classmethod
    def setUpClass(cls):
        cls.first = vm("--saved", SAVED, *cls.ASK)

    def test_vms_go_on_in_the_present_each_with_random_numbers_of_its_own(self):
        asked = [self.first, self.ask_in_the_present()]
        if "rdma_vm: booted" in self.first.stderr:
            asked[0] = self.ask_in_the_present()
        for done in asked:
            self.assertIn("rdma_vm: resumed", done.stderr)
        self.assertEqual(len({done.stdout.split()[0] for done in asked}), 2)

    def ask_in_the_present(self):
        before = int(time.time())
        done = vm("--saved", SAVED, *self.ASK)
        self.assertEqual(done.returncode, 0, done.stderr)
        now = int(done.stdout.split()[1])
        self.assertTrue(before <= now <= time.time() + 1, (before, now, time.time()))
        return done

    def test_vms_that_do_not_go_on_are_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            whole = state_in(SAVED)
            Path(folder, whole.name).write_bytes(whole.read_bytes()[:1 << 20])
            done = vm("--saved", folder, *self.ASK)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stderr, r"rdma_vm: the saved VM does not go on, and is removed[^\n]*\nrdma_vm: booted ")
            self.assertGreater(state_in(folder).stat().st_size, 1 << 20)


class Options(unittest.TestCase):
    def test_that_are_wrong_give_one_line_and_status_2(self):
        for options in (["--hosts", "0", "--", "true"], ["--mtu", "x", "--", "true"], ["--bogus", "--", "true"], ["--"], []):
            done = vm(*options)
            self.assertEqual((done.returncode, done.stdout), (2, ""), options)
            self.assertRegex(done.stderr, r"\Ardma_vm: [^\n]+\n\Z")


class Machines(unittest.TestCase):
    def check(self, status, expected, *options, **environment):
        done = vm(*options, env=os.environ | environment)
        self.assertEqual((done.returncode, done.stdout), (status, ""))
        self.assertRegex(done.stderr, expected)

    def test_with_too_little_memory_are_told_so(self):
        self.check(77, r"\Ardma_vm: [^\n]+ of memory[^\n]+\n\Z", "--check", "--memory", "1000000")

    def test_without_the_kernel_or_with_half_of_it_are_told_what_to_do(self):
        with tempfile.TemporaryDirectory() as cache:
            expected = r"\Ardma_vm: [^\n]+ kernel [^\n]+prepare\n\Z"
            self.check(77, expected, "--check", XDG_CACHE_HOME=cache)
            keep_kernel(cache, b"half of", manifest_length=1000)
            self.check(77, expected, "--check", XDG_CACHE_HOME=cache)

    def test_whose_vm_does_not_start_are_told_so(self):
        with tempfile.TemporaryDirectory() as cache:
            keep_kernel(cache, b"no kernel")
            self.check(125, "the VM ended before the command did", "--", "true", XDG_CACHE_HOME=cache)


def keep_kernel(cache, data, manifest_length=None):
    folder = Path(cache, "tenon/rdma_vm/kernel")
    folder.mkdir(parents=True)
    lengths = {"vmlinux": manifest_length or len(data), "modules.cpio": 0}
    (folder / "vmlinux").write_bytes(data)
    (folder / "modules.cpio").write_bytes(b"")
    (folder / "manifest.json").write_text(json.dumps({"modules": kernel.MODULES, "files": lengths}))


class Traces(unittest.TestCase):
    def test_are_gone_however_the_run_ends(self):
        for end, command in ((signal.SIGKILL, "true"), (signal.SIGTERM, "true"), (signal.SIGKILL, None)):
            with self.subTest(end=end, command=command), tempfile.TemporaryDirectory() as folder:
                self.end_with(end, folder, is_at_work=command is None)

    def end_with(self, end, folder, is_at_work):
        """While the VM starts, or when the command is at work in it."""
        saved = ["--saved", SAVED] if is_at_work else []
        with subprocess.Popen([RUN, *saved, "--", "sh", "-c", "echo works; exec tail -f /dev/null"], stdout=subprocess.PIPE,
                              env=os.environ | {"TMPDIR": folder}) as run:
            if is_at_work:
                self.assertEqual(run.stdout.readline(), b"works\n")
            while not (emulators := [child for child, parent in families().items() if parent == run.pid]):
                self.assertIsNone(run.poll())
            left = [os.pidfd_open(process) for process in emulators]
            run.send_signal(end)
            for descriptor in left:
                self.assertTrue(select.select([descriptor], [], [], DEADLINE_S)[0], "the VM is left")
                os.close(descriptor)
        self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    check = vm("--check")
    if check.returncode == 77:
        print(check.stderr)
        sys.exit(77)
    unittest.main()
