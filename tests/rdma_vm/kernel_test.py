"""How the VM's kernel comes into the cache, with stand-ins for the system's programs: kernel_test.py [unittest's arguments]"""

import contextlib
import io
import lzma
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import kernel

IMAGE = b"the kernel's own unpacker" + lzma.compress(b"\x7fELF and all the rest")
PROGRAMS = {
    "apt-cache": "echo '  Depends: linux-image-1'",
    "apt-get": 'echo >>"$DOWNLOADS"; touch linux.deb',
    "dpkg-deb": 'mkdir -p root/boot root/lib/modules/1 && cp "$IMAGE" root/boot/vmlinuz-1',
    "depmod": "true",
    # Each module needs another one, which all need.
    "modprobe": 'shift 4; for name in base $2; do file=root/$name.ko; echo "the module $name" >$file; echo "insmod $file "; done',
}
FETCH = [sys.executable, "-B", "-c", "import kernel; kernel.fetch()"]


class Kernels(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.downloads = self.folder / "downloads"
        (self.folder / "image").write_bytes(IMAGE)
        (self.folder / "bin").mkdir()
        for name in PROGRAMS:
            self.program(name, PROGRAMS[name])
        self.environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "XDG_CACHE_HOME": str(self.folder / "cache"),
                            "DOWNLOADS": str(self.downloads), "IMAGE": str(self.folder / "image")}
        patched = mock.patch.dict(os.environ, self.environment)
        patched.start()
        self.addCleanup(patched.stop)

    def program(self, name, script):
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def fetch(self):
        with contextlib.redirect_stdout(io.StringIO()):
            kernel.fetch()

    def assert_whole(self, downloads):
        self.assertEqual((kernel.find() / "vmlinux").read_bytes(), b"\x7fELF and all the rest")
        self.assertEqual(self.downloads.read_text().count("\n"), downloads)
        self.assertEqual(sorted(os.listdir(kernel.cache())), ["kernel", "lock"])

    def test_are_fetched_once_by_all_who_want_one_at_once(self):
        self.assertIsNone(kernel.find())
        fetching = [subprocess.Popen(FETCH, cwd=Path(__file__).parent, stdout=subprocess.DEVNULL) for _ in range(5)]
        self.assertEqual([process.wait(60) for process in fetching], [0] * 5)
        self.assert_whole(downloads=1)

    def test_hold_what_modules_need_before_them(self):
        self.fetch()
        modules = (kernel.find() / "modules.cpio").read_bytes()
        self.assertEqual(modules.count(b"base.ko\0"), 1)
        places = [modules.index(f"{name}.ko\0".encode()) for name in ("base", *kernel.MODULES)]
        self.assertEqual(places, sorted(places))

    def test_that_are_damaged_or_of_other_modules_are_fetched_anew(self):
        self.fetch()
        with open(kernel.find() / "vmlinux", "ab") as file:
            file.write(b"!")
        self.assertIsNone(kernel.find())
        self.fetch()
        self.assert_whole(downloads=2)
        with mock.patch.object(kernel, "MODULES", (*kernel.MODULES, "another")):
            self.assertIsNone(kernel.find())
            self.fetch()
            self.assert_whole(downloads=3)

    def test_that_cannot_be_had_leave_nothing_but_the_reason(self):
        for name, script, reason in (("apt-get", "echo 'E: no route to host' >&2; exit 100", "no route to host"),
                                     ("apt-cache", "true", "apt-get update"),
                                     ("dpkg-deb", 'mkdir -p root/boot root/lib/modules/1; echo other >root/boot/vmlinuz-1', "xz")):
            with self.subTest(name=name):
                self.program(name, script)
                with self.assertRaisesRegex(kernel.Missing, reason):
                    self.fetch()
                self.assertEqual(os.listdir(kernel.cache()), ["lock"])
                self.assertIsNone(kernel.find())
                self.program(name, PROGRAMS[name])


if __name__ == "__main__":
    unittest.main()
