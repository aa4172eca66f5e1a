"""How Tenon and its peers are started on the hosts of a cluster, and with which settings."""

import shlex
from dataclasses import dataclass
from pathlib import Path

PEERS = ("tenon", "openmpi", "gloo")
FLOOR = "sockets"  # no library: what two ranks need who only have a socket
SUBNET = "10.77.0.0/24"  # of tests/cluster

# What coll/tuned is told to do beside what it decides itself: setting -> the parameters after coll_tuned_. Which of them
# wins depends on the size; algorithms that never did (perf/README.md) are left out.
TUNED = {
    "all_reduce": {"recursive_doubling": {"allreduce_algorithm": 3}, "ring": {"allreduce_algorithm": 4},
                   "segmented_ring": {"allreduce_algorithm": 5, "allreduce_algorithm_segmentsize": 131072}},
    "all_gather": {"bruck": {"allgather_algorithm": 2}, "recursive_doubling": {"allgather_algorithm": 3},
                   "ring": {"allgather_algorithm": 4}},
    "reduce_scatter": {"recursive_halving": {"reduce_scatter_block_algorithm": 3},
                       "butterfly": {"reduce_scatter_block_algorithm": 4}},
    "all_to_all": {"pairwise": {"alltoall_algorithm": 2}, "linear_sync": {"alltoall_algorithm": 4}},
    "broadcast": {"pipeline": {"bcast_algorithm": 3, "bcast_algorithm_segmentsize": 131072},
                  "binomial": {"bcast_algorithm": 6}, "scatter_ring": {"bcast_algorithm": 9}},
    "barrier": {"recursive_doubling": {"barrier_algorithm": 3}, "tree": {"barrier_algorithm": 6}},
}
TUNED_ALL_TO_ALL_V = {"linear": {"alltoallv_algorithm": 1}, "pairwise": {"alltoallv_algorithm": 2}}
GLOO_ALGORITHMS = {"all_reduce": ("bcube", "halving_doubling")}


@dataclass(frozen=True)
class Cluster:
    hosts: int
    ranks_per_host: int
    cores: int  # that all ranks share

    @property
    def ranks(self):
        return self.hosts * self.ranks_per_host


@dataclass(frozen=True)
class Program:
    peer: str
    setting: str
    path: Path
    command: tuple  # runs it inside tests/cluster/run; {store} stands for an empty folder that all hosts see

    @property
    def label(self):
        return f"{self.peer}/{self.setting}"


def shell(words):
    """A command for `sh -c` on each host; words with a $ are read there."""
    return "exec " + " ".join(word if "$" in word else shlex.quote(word) for word in words)


def open_mpi(cluster, path, arguments, tuned):
    """With each of the settings `tuned`, and as it comes."""
    hosts = ",".join(f"host{k}:{cluster.ranks_per_host}" for k in range(cluster.hosts))
    within = ",vader" if cluster.ranks_per_host > 1 else ""
    # Where it keeps its sockets: those of another cluster would else have the same names, by host and process id.
    always = {"orte_tmpdir_base": "{store}", "plm_rsh_agent": "rsh-agent", "oob_tcp_if_include": SUBNET,
              "btl_tcp_if_include": SUBNET, "pml": "ob1", "btl": "self,tcp" + within}
    # Open MPI does so itself where it sees more ranks than cores on a host; that hosts share cores, it cannot see.
    if cluster.ranks > cluster.cores:
        always["mpi_yield_when_idle"] = 1
    settings = {"default": {}}
    if cluster.hosts > 1:
        settings["two_links"] = {"btl_tcp_links": 2}
    if cluster.hosts > 1 and cluster.ranks_per_host > 1:
        settings["han"] = {"coll_han_priority": 100}
    for name, parameters in tuned.items():
        settings[name] = {"coll_tuned_use_dynamic_rules": 1} | {f"coll_tuned_{k}": v for k, v in parameters.items()}
    started = shell([str(path), "--rank", "$OMPI_COMM_WORLD_RANK", *arguments])
    for name, parameters in settings.items():
        flags = [word for key, value in (always | parameters).items() for word in ("--mca", key, str(value))]
        yield Program("openmpi", name, path, ("mpirun", "--allow-run-as-root", "--bind-to", "none", "-n", str(cluster.ranks),
                                              "-H", hosts, *flags, "sh", "-c", started))


def gloo(path, arguments, collective):
    own = ["--rank", "$RANK", "--ranks", "$WORLD_SIZE", "--address", "$CLUSTER_ADDRESS", "--store", "{store}"]
    for name in ("default", *GLOO_ALGORITHMS.get(collective, ())):
        algorithm = [] if name == "default" else ["--algorithm", name]
        yield Program("gloo", name, path, ("ranks", "sh", "-c", shell([str(path), *own, *algorithm, *arguments])))


def sockets(cluster, path, arguments):
    if cluster.ranks == 2 and cluster.hosts == 2:
        started = shell([str(path), "--rank", "$RANK", "--address", "$MASTER_ADDR", *arguments])
        yield Program(FLOOR, "default", path, ("ranks", "sh", "-c", started))


def programs(cluster, collective, sizes, batch_ms, tenon_perf, peers_folder):
    """Every program with each of its settings, in the order of PEERS, and the floor."""
    listed = ",".join(map(str, sizes))
    arguments = [collective, "--sizes", listed, "--batch-ms", f"{batch_ms:g}"]
    yield Program("tenon", "default", tenon_perf,
                  ("ranks", str(tenon_perf), collective, "--sizes", listed, "--format", "jsonl"))
    yield from open_mpi(cluster, peers_folder / "mpi_peer", arguments, TUNED[collective])
    yield from gloo(peers_folder / "gloo_peer", arguments, collective)
    yield from sockets(cluster, peers_folder / "sockets_peer", arguments)


def moe_programs(cluster, shape, batch_ms, tenon_perf, peers_folder):
    """Dispatch and combine of one shape: both ways of Tenon, the same over its all-to-all-v, and over Open MPI's."""
    for path in ("flat", "hierarchical")[:2 if cluster.hosts > 1 else 1]:
        over = ["--against", "all_to_all_v"] if path == "flat" else []
        yield Program("tenon", path, tenon_perf, ("ranks", str(tenon_perf), "moe", *shape, "--path", path, *over, "--format", "jsonl"))
    yield from open_mpi(cluster, peers_folder / "mpi_moe_peer", [*shape, "--batch-ms", f"{batch_ms:g}"], TUNED_ALL_TO_ALL_V)
