"""Runs programs on the hosts of tests/cluster/run, by turns, and says where."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "tests/cluster/run"
ASIDE = ("mpirun has exited", "MPI_ABORT", "------", "Primary job", "Process name", "Exit code", "may be harmless", "setpgid")


def machine():
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {"cpu": model[1] if model else os.uname().machine, "cores": len(os.sched_getaffinity(0)),
            "kernel": os.uname().release, "load": f"{os.getloadavg()[0]:.1f}"}


def reason_of(status, errors, limit_s):
    """Why a program failed, in a line."""
    if status == 124:
        return f"took over {limit_s} s"
    said = [line.strip() for line in errors.splitlines() if line.strip() and not any(word in line for word in ASIDE)]
    return f"exit status {status}" + (f": {'; '.join(dict.fromkeys(said[-2:]))[:240]}" if said else "")


def run(options, program):
    """The lines of JSON that the program printed, and what went wrong, or nothing."""
    if not program.path.exists():
        return [], f"there is no {program.path.name}: install what it needs and build it (perf/README.md)"
    with tempfile.TemporaryDirectory() as store:
        command = [word.replace("{store}", store) for word in program.command]
        rate = ["--rate", options.rate] if options.rate else []
        started = subprocess.Popen(
            [CLUSTER, "--hosts", str(options.hosts), "--ranks-per-host", str(options.ranks_per_host), *rate,
             "--timeout", str(options.limit), "--", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        try:
            output, errors = started.communicate()
        finally:  # also when interrupted: the cluster ends with this process
            started.kill()
            started.wait()
    if started.returncode == 77:
        sys.exit(errors.strip())
    lines = []
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            lines += [json.loads(line)] if line.startswith("{") else []
    if started.returncode:
        return lines, reason_of(started.returncode, errors, options.limit)
    wrong = sum(line.get("wrong") or 0 for line in lines)
    return lines, f"{wrong} elements were wrong" if wrong else "" if lines else "printed no figure"


def take_turns(options, programs, keep, about=""):
    """Hands every line to `keep`. The programs take turns, forwards and backwards, so that drift hits all alike. One of a
    peer that prints nothing is tried once more, since starting some of them fails now and then; one of Tenon's is not."""
    failed = set()
    for number in range(options.rounds):
        for program in programs if number % 2 == 0 else reversed(programs):
            if program.label in failed:
                continue
            start = time.monotonic()
            lines, reason = run(options, program)
            if reason and not lines and program.peer != "tenon" and program.path.exists():
                print(f"# {about}{program.label} is tried again: {reason}", file=sys.stderr, flush=True)
                lines, reason = run(options, program)
            for line in lines:
                keep(line | {"setting": program.setting, "round": number})
            if reason:
                failed.add(program.label)
                keep({"failed": program.label, "why": reason})
            print(f"# {about}round {number + 1} of {options.rounds}: {program.label}, {time.monotonic() - start:.1f} s {reason}".rstrip(),
                  file=sys.stderr, flush=True)
