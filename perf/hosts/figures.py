"""What the measured times mean: bus bandwidth, the link's limit, and the table."""

import textwrap
from statistics import median

from programs import FLOOR, PEERS

TITLES = {"tenon": "Tenon", "openmpi": "Open MPI", "gloo": "Gloo", FLOOR: "sockets"}


def bus_factor(collective, ranks):
    """Bus bandwidth is bytes / time times this, as in nccl-tests."""
    return {"all_reduce": 2 * (ranks - 1) / ranks, "broadcast": 1}.get(collective, (ranks - 1) / ranks)


def limit_bytes(collective, bytes_, hosts, ranks_per_host):
    """What must pass a host's link in one direction, at least, over the busiest link.

    The ranks of a host count as one where they have one result or contribute to one sum. In an all-to-all each has a
    buffer of its own, of which the share for other hosts leaves.
    """
    others = (hosts - 1) / hosts
    factors = {"all_reduce": 2 * others, "all_gather": others, "reduce_scatter": others,
               "all_to_all": others * ranks_per_host, "broadcast": 1 if hosts > 1 else 0}
    return factors.get(collective, 0) * bytes_


def limit_us(collective, bytes_, hosts, ranks_per_host, rate_bits):
    return limit_bytes(collective, bytes_, hosts, ranks_per_host) * 8 / rate_bits * 1e6 if rate_bits else 0


def least_us(row, meta):
    """What a whole batch cannot beat: the link's limit, less what a link that was idle sends at once (tests/cluster/fabric).

    A batch that a disturbed warm-up made too short does beat it: it measures that saved-up burst, not the link.
    """
    if not meta["rate_bits"]:
        return 0
    saved_ms = max(2, 131072 * 8 / meta["rate_bits"] * 1e3)
    limit = limit_us(row["collective"], row["bytes"], meta["hosts"], meta["ranks_per_host"], meta["rate_bits"])
    return limit * max(0, 1 - saved_ms / meta["batch_ms"])


def number(value):
    if not value:
        return ""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def ratio(value, base):
    return f"{value / base:.2f}" if value and base else ""


def size_name(bytes_):
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if bytes_ >= factor and bytes_ % factor == 0:
            return f"{bytes_ // factor} {unit}"
    return f"{bytes_} B" if bytes_ else ""


class Cell:
    """One peer's times of one collective and size: setting -> the medians of the rounds, in microseconds."""

    def __init__(self):
        self.settings = {}

    def add(self, setting, median_us):
        self.settings.setdefault(setting, []).append(median_us)

    def best(self):
        """The median of the rounds of the fastest setting, and its name.

        Not the least round: with five settings a peer would draw five times as often as who has one.
        """
        return min(((median(times), name) for name, times in self.settings.items()), default=(None, ""))

    def shown(self):
        time_us, setting = self.best()
        is_rough = time_us and max(self.settings[setting]) > 1.5 * min(self.settings[setting])
        return number(time_us) + ("~" if is_rough else "")

    def default(self):
        return number(median(self.settings["default"]) if "default" in self.settings else None)


def cells_of(rows, meta):
    """(collective, bytes) -> peer or floor -> Cell, and the labels of the figures that cannot be, which are left out.

    A broadcast is compared in place, as MPI's has one buffer.
    """
    found, impossible = {}, []
    for row in rows:
        if "us_median" not in row:
            continue
        if row["peer"] == "tenon" and row["inplace"] != (row["collective"] == "broadcast"):
            continue
        peers = found.setdefault((row["collective"], row["bytes"]), {peer: Cell() for peer in (*PEERS, FLOOR)})
        if row["us_median"] < least_us(row, meta):
            impossible.append(f"{row['peer']}/{row['setting']} {row['collective']} {size_name(row['bytes'])}: "
                              f"{number(row['us_median'])}")
        else:
            peers[row["peer"]].add(row["setting"], row["us_median"])
    return found, impossible


LARGE_BYTES = 16 << 20
LEAST_OF_LIMIT = 0.9


def bars_of(key, cells, meta):
    """What Tenon is held to in a line of the table: for each bar that it does not reach, why."""
    collective, bytes_ = key
    where = f"{collective}{f', {size_name(bytes_)}' if bytes_ else ''}"
    tenon_us, _ = cells["tenon"].best()
    if not tenon_us:
        return [f"{where}: there is no figure of Tenon"]
    missed = []
    for peer in PEERS:
        peer_us, setting = cells[peer].best()
        if peer != "tenon" and peer_us and tenon_us > peer_us:
            missed.append(f"{where}: {TITLES[peer]} ({setting}) takes {number(peer_us)} us, Tenon {number(tenon_us)}: "
                          f"{tenon_us / peer_us:.2f} times as long, no longer is the bar")
    limit = limit_us(collective, bytes_, meta["hosts"], meta["ranks_per_host"], meta["rate_bits"])
    if limit and bytes_ >= LARGE_BYTES and limit < LEAST_OF_LIMIT * tenon_us:
        missed.append(f"{where}: {limit / tenon_us:.2f} of the link's limit, {LEAST_OF_LIMIT} is the bar")
    return missed


def bars_missed(rows):
    """A line for each bar that is not reached, and for each program without figures that it could be held against."""
    meta = next(row["meta"] for row in rows if "meta" in row)
    cells, _ = cells_of(rows, meta)
    failed = [f"{row['collective']}: {row['failed']} failed" for row in rows if "failed" in row]
    nothing = [f"{collective}: there is no figure of Tenon" for collective in meta["collectives"]
               if not any(key[0] == collective for key in cells)]
    return failed + nothing + [line for key in sorted(cells) for line in bars_of(key, cells[key], meta)]


def head(meta, rows):
    versions = {row["peer"]: row["version"] for row in rows if "us_median" in row}
    rate = meta["rate"] or "no limit"
    return [f"{meta['hosts']} hosts x {meta['ranks_per_host']} ranks, links: {rate}; {meta['cores']} cores for all: "
            f"{meta['cpu']}; kernel {meta['kernel']}; load before {meta['load']}.",
            "Versions: " + ", ".join(f"{TITLES[peer]} {version.removeprefix('Open MPI v')}" for peer, version in versions.items()),
            f"Microseconds a call: medians of batches of {meta['batch_ms']:g} ms, the median of {meta['rounds']} rounds "
            "(~: they differ by over 1.5 times), of the best setting; bus bandwidth in GB/s.", ""]


def line_of(key, cells, meta):
    collective, bytes_ = key
    ranks = meta["hosts"] * meta["ranks_per_host"]
    line = [collective, size_name(bytes_)]
    for peer in PEERS:
        time_us, _ = cells[peer].best()
        bandwidth = bytes_ / time_us * 1e-3 * bus_factor(collective, ranks) if time_us else 0
        line += [cells[peer].shown(), number(bandwidth)]
        if peer == "openmpi":
            line.insert(-2, cells[peer].default())
    rivals = [(*cells[peer].best(), peer) for peer in PEERS if peer != "tenon" and cells[peer].settings]
    best_us, setting, peer = min(rivals, default=(None, "", ""))
    tenon_us, _ = cells["tenon"].best()
    limit = limit_us(collective, bytes_, meta["hosts"], meta["ranks_per_host"], meta["rate_bits"])
    return line + [f"{peer}/{setting}" if peer else "", ratio(tenon_us, best_us), number(limit), ratio(tenon_us, limit),
                   ratio(best_us, limit), cells[FLOOR].shown(), ratio(tenon_us, cells[FLOOR].best()[0])]


def table(rows):
    meta = next(row["meta"] for row in rows if "meta" in row)
    heads = ["collective", "size", "Tenon", "GB/s", "Open MPI default", "Open MPI", "GB/s", "Gloo", "GB/s", "best peer",
             "Tenon / best", "limit", "Tenon / limit", "best / limit", "sockets", "Tenon / sockets"]
    lines = head(meta, rows) + ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 2)]
    cells, impossible = cells_of(rows, meta)
    failures = [row for row in rows if "failed" in row]
    for collective in meta["collectives"]:
        for key in sorted(key for key in cells if key[0] == collective):
            lines.append("| " + " | ".join(line_of(key, cells[key], meta)) + " |")
        for row in failures:
            if row["collective"] == collective:
                lines.append(f"| {collective} | | **{row['failed']} failed**: {row['why'].replace('|', '/')} |"
                             + " |" * (len(heads) - 3))
    if impossible:
        lines += ["", "Left out, faster than the links, from batches that were too short: " + "; ".join(impossible)]
    return "\n".join(lines)


LINK_MATTERS_FROM_BYTES = 1 << 20


def short_number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".") if value >= 1 else f"{value:.2f}"


def short_line(key, cells, meta):
    collective, bytes_ = key
    rivals = [(cells[peer].best()[0], peer) for peer in PEERS if peer != "tenon" and cells[peer].settings]
    best_us, peer = min(rivals, default=(None, ""))
    tenon_us, _ = cells["tenon"].best()
    limit = limit_us(collective, bytes_, meta["hosts"], meta["ranks_per_host"], meta["rate_bits"])
    size = size_name(bytes_).removesuffix(" B")
    return [collective.replace("_", "-") + (f", {size}" if size else ""),
            f"{short_number(best_us)} ({TITLES[peer]})" if peer else "none",
            short_number(tenon_us) if tenon_us else "none",
            ratio(limit, tenon_us) if bytes_ >= LINK_MATTERS_FROM_BYTES else ""]


def short_table(rows):
    """The table in README.md, and the sentences before it: for each collective and size the best peer, and Tenon."""
    meta = next(row["meta"] for row in rows if "meta" in row)
    cells, _ = cells_of(rows, meta)
    versions = {row["peer"]: row["version"].removeprefix("Open MPI v") for row in rows if "us_median" in row}
    peers = " and ".join(f"{TITLES[peer]} {versions[peer]}" for peer in PEERS if peer != "tenon" and peer in versions)
    ranks = f"{meta['ranks_per_host']} rank{'s' if meta['ranks_per_host'] > 1 else ''} on each"
    about = (f"Microseconds a call between {meta['hosts']} hosts, {ranks}, over TCP and links of "
             f"{meta['rate'] or 'no limited rate'}, all made of one machine ({meta['cores']} cores, {meta['cpu']}): "
             f"the median of {meta['rounds']} rounds, of the best setting of {peers or 'no peer'} and of Tenon as it comes. "
             "From 1 MiB on, which part of the link's limit Tenon reaches.")
    failed = [f"{row['failed']} failed in {row['collective']}: {row['why']}." for row in rows if "failed" in row]
    lines = [short_line(key, cells[key], meta) for collective in meta["collectives"]
             for key in sorted(key for key in cells if key[0] == collective)]
    heads = ["collective, bytes", "best peer", "Tenon", "of the limit"]
    return "\n".join([*textwrap.wrap(" ".join([about, *failed]), 120), "", "| " + " | ".join(heads) + " |",
                      "|---" * len(heads) + "|", *("| " + " | ".join(line) + " |" for line in lines)])
