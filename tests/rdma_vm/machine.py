"""What the VM is made of, and the words by which the emulator starts it."""

import hashlib
import os
import shutil
from pathlib import Path

import archive

HERE = Path(__file__).resolve().parent
PATHS = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"  # for those who are not root
EMULATOR = "qemu-system-x86_64"
# The emulator translates what it finds at another address anew: to start a program takes three to five times as long where its
# addresses are drawn by lot.
FIXED = "nokaslr norandmaps"
UNWATCHED = "mitigations=off init_on_alloc=0 randomize_kstack_offset=off apparmor=0 audit=0"
KERNEL_ARGUMENTS = f"console=ttyS0 quiet reboot=t panic=-1 {FIXED} {UNWATCHED} tsc=reliable"
# What is slow to emulate and changes nothing for programs: strings copied byte by byte, page tables of five levels, and the
# watch over what the kernel does with users' memory.
PROCESSOR = "max,erms=off,la57=off,smap=off,smep=off"
OUTPUTS = ("output", "errors", "status")  # what comes out of the VM, each by a port of its own


class Machine:
    """The same for every command: what it is to do is only told when it has booted."""

    def __init__(self, memory_mib, kernel, tsc_khz):
        self.memory_mib, self.kernel, self.tsc_khz = memory_mib, kernel, tsc_khz
        folders = [(name, archive.FOLDER, b"") for name in ("bin", "proc", "sys", "dev", "lower", "upper", "new", "job")]
        busybox = Path(shutil.which("busybox", path=PATHS)).read_bytes()
        self.first_files = (kernel / "modules.cpio").read_bytes() + archive.cpio([
            *folders, ("bin/busybox", archive.PROGRAM, busybox), ("init", archive.PROGRAM, (HERE / "init").read_bytes())])

    def key(self):
        """Of all that it is made of, but for the rate of the clock, which is never measured the same."""
        parts = [self.words(dict.fromkeys(("first", "console", "job", "monitor", *OUTPUTS), 0)), KERNEL_ARGUMENTS]
        for path in (Path(shutil.which(EMULATOR, path=PATHS)).resolve(), self.kernel / "vmlinux"):
            parts.append((path, path.stat().st_size, path.stat().st_mtime_ns))
        return hashlib.sha256(repr(parts).encode() + self.first_files).hexdigest()[:32]

    def emulator(self, ends, state=None):
        """The words for one with these descriptors; it boots, unless it is to go on from a state."""
        rate = f" tsc_early_khz={self.tsc_khz}" if self.tsc_khz else ""
        return [*self.words(ends), "-append", KERNEL_ARGUMENTS + rate, *(["-incoming", f"fd:{state}"] if state else [])]

    def words(self, ends):
        # Two emulated processors with a thread each: with one, latency is that of a timer's tick.
        words = [EMULATOR, "-machine", "pc", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", PROCESSOR, "-smp", "2",
                 "-m", str(self.memory_mib), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                 "-kernel", str(self.kernel / "vmlinux"), "-initrd", f"/dev/fd/{ends['first']}",
                 "-serial", f"file:/dev/fd/{ends['console']}",
                 "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
                 "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
                 "-device", "vmgenid,guid=auto",  # by which those that go on from one state draw random numbers of their own
                 "-chardev", f"socket,id=monitor,fd={ends['monitor']}", "-mon", "chardev=monitor,mode=control",
                 "-device", "virtio-serial-pci",
                 "-chardev", f"socket,id=job,fd={ends['job']}", "-device", "virtserialport,chardev=job,name=job"]
        for name in OUTPUTS:
            words += ["-chardev", f"file,id={name},path=/dev/fd/{ends[name]}",
                      "-device", f"virtserialport,chardev={name},name={name}"]
        return words
