"""The VM's kernel: a Debian package that is unpacked into the user's cache folder once, and never installed.

Of its hundreds of megabytes two files are kept, beside a manifest that says how long they are:
vmlinux, unpacked, since a guest that has to unpack it starts 2 s later; and modules.cpio, the modules in the order in which
they are loaded. Whoever finds all three as the manifest says need not look further: they came into place in one step.
"""

import fcntl
import json
import lzma
import os
import shutil
import subprocess
from pathlib import Path

import archive

PACKAGES = "linux-image-amd64"  # depends on the newest; the flavour for clouds has neither soft RoCE nor 9p
# rdma_rxe asks for a checksum by name when it is loaded; crc32_generic is the fastest under emulation.
MODULES = ("virtio_pci", "virtio_console", "9p", "9pnet_virtio", "overlay", "crc32_generic", "rdma_rxe", "ib_uverbs", "veth",
           "bridge", "nf_tables", "sch_tbf", "sch_netem")
DOWNLOAD_S = 240


class Missing(Exception):
    """Why there is no kernel, in a line."""


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "tenon", "rdma_vm")


def find():
    """The folder of the kernel, or None where it is not there, not whole, or has other modules than are wanted now."""
    folder = cache() / "kernel"
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        is_whole = all((folder / name).stat().st_size == length for name, length in manifest["files"].items())
        return folder if is_whole and manifest["modules"] == list(MODULES) else None
    except (OSError, ValueError, KeyError):
        return None


def fetch():
    """Puts the kernel into the cache, unless it is there. Of several who do it at once, one does and the others wait."""
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find():
            return
        new = cache() / "new"
        shutil.rmtree(new, ignore_errors=True)  # of one that was killed
        try:
            (new / "kernel").mkdir(parents=True)
            unpack(new, new / "kernel")
            shutil.rmtree(cache() / "kernel", ignore_errors=True)
            (new / "kernel").rename(cache() / "kernel")
        finally:
            shutil.rmtree(new)


def package_name():
    said = run("apt-cache", "depends", PACKAGES)
    names = [line.split()[-1] for line in said.splitlines() if "Depends:" in line]
    if not names:
        raise Missing(f"apt knows no {PACKAGES}; run apt-get update")
    return names[0]


def unpack(folder, kept):
    package = package_name()
    print(f"rdma_vm: fetching the VM's kernel, {package}, into {cache()} (70 MB, once)", flush=True)
    run("timeout", str(DOWNLOAD_S), "apt-get", "download", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20",
        package, cwd=folder)
    run("dpkg-deb", "-x", str(next(folder.glob("*.deb"))), "root", cwd=folder)
    (image,) = folder.glob("root/boot/vmlinuz-*")
    (modules,) = folder.glob("root/lib/modules/*")
    write(kept / "vmlinux", unpacked(image.read_bytes()))
    run("depmod", "-b", "root", modules.name, cwd=folder)
    found = [folder / path for path in in_order(folder, modules.name)]
    write(kept / "modules.cpio", archive.cpio([("modules", archive.FOLDER, b"")] + [
        (f"modules/{number:02}-{path.name}", archive.FILE, path.read_bytes()) for number, path in enumerate(found)]))
    files = {path.name: path.stat().st_size for path in kept.iterdir()}
    write(kept / "manifest.json", json.dumps({"package": package, "modules": MODULES, "files": files}).encode())


def unpacked(image):
    """The kernel within its own unpacker. qemu starts it by the note for PVH that it carries."""
    start = image.find(b"\xfd7zXZ\0")
    kernel = lzma.LZMADecompressor().decompress(image[start:]) if start >= 0 else b""
    if not kernel.startswith(b"\x7fELF"):
        raise Missing("the kernel of the package is packed in another way than with xz")
    return kernel


def in_order(folder, version):
    """The files of the modules and of all that they need, each after what it needs."""
    paths = []
    for module in MODULES:
        said = run("modprobe", "-d", "root", "-S", version, "--show-depends", module, cwd=folder)
        paths += [line.split()[1] for line in said.splitlines() if line.startswith("insmod ")]
    return list(dict.fromkeys(paths))


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def run(*command, cwd=None):
    environment = os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Missing(f"there is no {error.filename}") from error
    if done.returncode:
        said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise Missing(f"{' '.join(command)}: {said}")
    return done.stdout
