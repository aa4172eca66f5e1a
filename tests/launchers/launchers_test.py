"""Ranks that real launchers start: launchers_test.py LAUNCHED_RANK TENON CLASS, the COMMAND of tests/cluster/run

Two hosts. Every test starts the ranks as a user would, on host 0, and looks at what each of them says of its sums.
Status 77 where the launcher is not there.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

RANK, TENON = sys.argv[1:3]
DEADLINE_S = 100
TWO_BY_TWO = {0: "host0", 1: "host0", 2: "host1", 3: "host1"}
os.environ["PATH"] += ":/usr/sbin"
os.environ["TENON_INIT_TIMEOUT_MS"] = "30000"


def skip(why):
    print(f"{sys.argv[3]}: {why}", file=sys.stderr)
    sys.exit(77)


def need(program, package):
    if shutil.which(program) is None:
        skip(f"there is no {program}: tools/packages/install {package}")


def on_host(k, *command, **variables):
    return ["on-host", str(k), "env", *(f"{name}={value}" for name, value in variables.items()), *command]


def start(command):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, text=True, **pipes)


def finish(processes):
    """What all of them said, and the first status that is not 0."""
    said = [process.communicate(timeout=DEADLINE_S)[0] for process in processes]
    return "".join(said), next((process.returncode for process in processes if process.returncode), 0)


class Test(unittest.TestCase):
    def assert_right(self, commands, where=TWO_BY_TWO):
        """All ranks found each other, on these hosts, and have the right sums."""
        said, status = finish([start(command) for command in commands])
        lines = re.findall(r"rank (\d+) of (\d+) on (\w+) is right", said)
        self.assertEqual({int(rank): host for rank, _, host in lines}, where, said)
        self.assertEqual(({int(count) for _, count, _ in lines}, status), ({len(where)}, 0), said)

    def assert_refused(self, command, *words):
        said, status = finish([start(command)])
        self.assertNotEqual(status, 0, said)
        self.assertNotIn("is right", said)
        for word in words:
            self.assertIn(word, said)


class ByHand(Test):
    """Variables that users, Kubernetes' operators or scripts set for each process."""

    def ranks(self, *arguments, **variables):
        return [on_host(rank // 2, RANK, *arguments, RANK=rank, WORLD_SIZE=4, **variables) for rank in range(4)]

    def test_meet_where_master_addr_says(self):
        for name in ("host0", "10.77.0.1"):
            self.assert_right(self.ranks(MASTER_ADDR=name, MASTER_PORT=29500))

    def test_meet_in_pods_where_the_first_is_told_localhost(self):
        pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "MASTER_PORT": 23456}
        first = self.ranks(MASTER_ADDR="localhost", HOSTNAME="host0", **pod)[:2]
        self.assert_right(first + self.ranks(MASTER_ADDR="host0", HOSTNAME="host1", **pod)[2:])

    def test_meet_by_a_unique_id(self):
        with tempfile.TemporaryDirectory() as folder:
            for rank in range(1, 4):
                os.mkfifo(f"{folder}/{rank}")
            self.assert_right(self.ranks(f"@{folder}", TENON_JOB="by-hand"))

    def test_meet_though_somebody_holds_the_master_port(self):
        # As torchrun's agent does, with TORCHELASTIC_USE_AGENT_STORE.
        hold = "import socket, sys; s = socket.create_server(('', 29500)); print('held', flush=True); sys.stdin.read()"
        command = on_host(0, sys.executable, "-c", hold)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            self.assertEqual(holder.stdout.readline(), b"held\n")
            self.assert_right(self.ranks(MASTER_ADDR="host0", MASTER_PORT=29500, TORCHELASTIC_USE_AGENT_STORE="True"))
            holder.communicate()

    def test_meet_at_a_host_and_port_of_the_users_choice(self):
        self.assert_right(self.ranks(TENON_JOB="by-hand", TENON_RENDEZVOUS="host0:31000"))

    def test_meet_through_a_shared_file(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assert_right(self.ranks(TENON_JOB="by-hand", TENON_RENDEZVOUS=f"file:{folder}/where"))


class OpenMpi(Test):
    @classmethod
    def setUpClass(cls):
        need("mpirun.openmpi", "launchers")

    def mpirun(self, *arguments, hosts="host0:2,host1:2", program=(RANK,)):
        options = ["--allow-run-as-root", "--mca", "plm_rsh_agent", "rsh-agent", "--oversubscribe", "-H", hosts]
        return on_host(0, "mpirun.openmpi", *options, *arguments, *program)

    def test_ranks_of_one_host_meet(self):
        self.assert_right([self.mpirun(hosts="host0:3")], {rank: "host0" for rank in range(3)})
        self.assert_right([self.mpirun(hosts="host1:2")], {rank: "host1" for rank in range(2)})

    def test_ranks_of_several_hosts_meet(self):
        self.assert_right([self.mpirun()])

    def test_ranks_meet_wherever_rank_0_is(self):
        self.assert_right([self.mpirun("--rankfile", self.rank_file("host1", "host0", "host1", "host0"), "-np", "4")],
                          {0: "host1", 1: "host0", 2: "host1", 3: "host0"})

    def test_ranks_meet_where_the_user_says(self):
        self.assert_right([self.mpirun("-x", "MASTER_ADDR=host0")])
        self.assert_right([self.mpirun("-x", "TENON_RENDEZVOUS=host0:31000")])

    def test_ranks_meet_by_a_name_that_the_program_gives(self):
        self.assert_right([self.mpirun(program=(RANK, "sums"))])

    def test_the_check_meets_however_it_is_called(self):
        by_name = 'PATH="${0%/*}:$PATH"; cd / && exec tenon check'
        for program in ((TENON, "check"), ("sh", "-c", by_name, TENON)):
            said, status = finish([start(self.mpirun(program=program))])
            self.assertIn("all right: 4 ranks on 2 hosts have met", said)
            self.assertEqual(status, 0, said)

    def test_ranks_that_a_wrapper_forks_meet(self):
        # It has the library itself, but calls nothing of it.
        self.assert_right([self.mpirun(program=(RANK, "forked"))])

    def test_nobody_waits_for_ranks_that_do_not_meet(self):
        # Nor does mpirun miss them, when it is told not to.
        some = 'if [ "$OMPI_COMM_WORLD_RANK" -lt 3 ]; then OMPI_COMM_WORLD_SIZE=3 exec "$0"; fi'
        unmissed = ("--mca", "orte_allowed_exit_without_sync", "1")
        self.assert_right([self.mpirun(*unmissed, program=("sh", "-c", some, RANK))],
                          {0: "host0", 1: "host0", 2: "host1"})

    def test_ranks_do_not_wait_for_a_server_that_is_stuck(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkfifo(f"{folder}/said")
            # Rank 1 stops the server, which started it, and stays so until the cluster ends.
            stuck = '[ "$OMPI_COMM_WORLD_RANK" = 0 ] || { kill -STOP $PPID; exec >"$1" 2>&1; }; exec "$0"'
            program = ("sh", "-c", stuck, RANK, f"{folder}/said")
            mpirun = start(self.mpirun("-x", "TENON_INIT_TIMEOUT_MS=3000", hosts="host0:1,host1:1", program=program))
            said = Path(f"{folder}/said").read_text()
            mpirun.kill()
            mpirun.wait()
            mpirun.stdout.close()
        self.assertRegex(said, r"\Arank 1: .*the PMIx server of this host does not answer.*\n\Z")

    def test_without_the_module_says_what_helps(self):
        modules = Path(RANK).parents[1] / "lib" / "tenon"
        with tempfile.TemporaryDirectory() as empty:
            hide = 'mount --bind "$1" "$2" && exec "$0"'
            command = self.mpirun(program=("unshare", "--mount", "sh", "-c", hide, RANK, empty, str(modules)))
            self.assert_refused(command, "tenon_pmix.so", "libpmix-dev", "MASTER_ADDR", "TENON_RENDEZVOUS")

    def rank_file(self, *hosts):
        file = tempfile.NamedTemporaryFile("w", suffix=".ranks")
        self.addCleanup(file.close)
        file.writelines(f"rank {rank}={host} slot=0\n" for rank, host in enumerate(hosts))
        file.flush()
        return file.name


class Hydra(Test):
    """MPICH's mpiexec: its ranks are told neither a name of the job nor where rank 0 is."""

    @classmethod
    def setUpClass(cls):
        need("mpiexec.hydra", "launchers")

    def mpiexec(self, *arguments, hosts="host0:2,host1:2", ranks=4):
        launcher = ["mpiexec.hydra", "-launcher", "rsh", "-launcher-exec", "rsh-agent"]
        return on_host(0, *launcher, "-hosts", hosts, "-n", str(ranks), *arguments, RANK)

    def test_ranks_of_one_host_meet(self):
        for host in ("host0", "host1"):
            self.assert_right([self.mpiexec(hosts=f"{host}:3", ranks=3)], {rank: host for rank in range(3)})

    def test_ranks_of_several_hosts_meet_where_the_user_says(self):
        self.assert_right([self.mpiexec("-genv", "TENON_JOB", "hydra", "-genv", "MASTER_ADDR", "host0")])

    def test_ranks_of_several_hosts_say_what_they_need(self):
        self.assert_refused(self.mpiexec(), "TENON_JOB")
        self.assert_refused(self.mpiexec("-genv", "TENON_JOB", "hydra"), "MASTER_ADDR", "TENON_RENDEZVOUS")


class Slurm(Test):
    """A controller and two nodes of a configuration of their own, without munge."""

    @classmethod
    def setUpClass(cls):
        for program in ("slurmctld", "slurmd", "srun"):
            need(program, "launchers")
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.configure(Path(folder.name))
        cls.start_daemon(on_host(0, "slurmctld", "-D"))
        for k in range(2):
            cls.start_daemon(on_host(k, "slurmd", "-D", "-N", f"host{k}"))

    @classmethod
    def configure(cls, folder):
        for name in ("state", "host0", "host1"):
            (folder / name).mkdir()
        settings = f"""
            ClusterName=tenon
            SlurmctldHost=host0
            SlurmUser=root
            AuthType=auth/none
            CredType=cred/none
            MpiDefault=none
            ProctrackType=proctrack/pgid
            TaskPlugin=task/none
            SwitchType=switch/none
            ReturnToService=2
            SlurmdParameters=config_overrides
            StateSaveLocation={folder}/state
            SlurmctldPidFile={folder}/controller.pid
            SlurmctldLogFile={folder}/controller.log
            SlurmdSpoolDir={folder}/%n
            SlurmdPidFile={folder}/%n.pid
            SlurmdLogFile={folder}/%n.log
            TmpFS={folder}/%n
            NodeName=host[0-1] CPUs=4
            PartitionName=all Nodes=ALL Default=YES State=UP OverSubscribe=YES
        """
        (folder / "slurm.conf").write_text(settings)
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")

    @classmethod
    def start_daemon(cls, command):
        silent = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
        daemon = subprocess.Popen(command, **silent)
        cls.addClassCleanup(daemon.wait)
        cls.addClassCleanup(daemon.terminate)

    def srun(self, *arguments, nodes=2, ranks=4, program=(RANK,), **variables):
        return on_host(0, "srun", "-N", str(nodes), "-n", str(ranks), *arguments, *program, **variables)

    def test_ranks_of_one_node_meet(self):
        self.assert_right([self.srun("-w", "host1", nodes=1, ranks=2)], {0: "host1", 1: "host1"})

    def test_ranks_of_several_nodes_meet(self):
        self.assert_right([self.srun()])
        self.assert_right([self.srun("-m", "cyclic")], {0: "host0", 1: "host1", 2: "host0", 3: "host1"})
        self.assert_right([self.srun(program=(RANK, "sums"))])

    def test_ranks_that_a_file_of_hosts_places_meet_through_pmix(self):
        where = {0: "host1", 1: "host1", 2: "host0", 3: "host0"}
        self.assert_right([self.srun("--mpi=pmix", "-m", "arbitrary", SLURM_HOSTFILE=self.host_file(where))], where)

    def test_ranks_that_a_file_of_hosts_places_say_what_they_need(self):
        where = {0: "host1", 1: "host1", 2: "host0", 3: "host0"}
        hosts = self.host_file(where)
        self.assert_refused(self.srun("-m", "arbitrary", SLURM_HOSTFILE=hosts), "MASTER_ADDR")
        self.assert_right([self.srun("-m", "arbitrary", SLURM_HOSTFILE=hosts, MASTER_ADDR="host1")], where)

    def test_a_launcher_in_an_allocation_counts(self):
        one_agent_each = [TENON, "run", "--no-prefix", "-n", "2", "--", RANK]
        said, status = finish([start(self.srun(ranks=2, program=one_agent_each))])
        lines = sorted(re.findall(r"rank (\d) of 2 on (\w+) is right", said))
        wanted = [("0", "host0"), ("0", "host1"), ("1", "host0"), ("1", "host1")]
        self.assertEqual((lines, status), (wanted, 0), said)

    def host_file(self, where):
        file = tempfile.NamedTemporaryFile("w", suffix=".hosts")
        self.addCleanup(file.close)
        file.writelines(f"{where[rank]}\n" for rank in sorted(where))
        file.flush()
        return file.name


class Torchrun(Test):
    C10D = ("--rdzv_backend", "c10d", "--rdzv_endpoint", "host0:29400", "--rdzv_id", "job")

    @classmethod
    def setUpClass(cls):
        # The interpreter that has torch need not be the one that runs the tests.
        def has_torch(python):
            return subprocess.run([python, "-c", "import torch.distributed.run"], capture_output=True).returncode == 0
        found = [python for python in (sys.executable, "/usr/bin/python3") if has_torch(python)]
        if not found:
            skip("there is no torch: tools/packages/install launchers-more")
        # Debian's torch is older than its Python, which its torchrun survives only where these are set for some rank.
        cls.torchrun = [found[0], "-m", "torch.distributed.run", "--redirects", "9:1", "--tee", "9:1"]

    def agents(self, *arguments, program=(RANK,), **by_host):
        """One agent on each host; what `by_host` names has a value for each."""
        def agent(k):
            own = [word for name, values in by_host.items() for word in (f"--{name}", str(values[k]))]
            sizes = ["--nnodes", "2", "--nproc_per_node", "2"]
            return on_host(k, *self.torchrun, *sizes, *arguments, *own, "--no_python", *program)
        return [agent(k) for k in range(2)]

    def assert_meet(self, commands):
        """Which host has which ranks is for the agents to say."""
        said, status = finish([start(command) for command in commands])
        lines = sorted(re.findall(r"rank (\d+) of 4 on \w+ is right", said))
        self.assertEqual((lines, status), (["0", "1", "2", "3"], 0), said)

    def test_ranks_of_one_host_meet(self):
        command = on_host(1, *self.torchrun, "--standalone", "--nproc_per_node", "2", "--no_python", RANK)
        self.assert_right([command], {0: "host1", 1: "host1"})

    def test_ranks_meet_with_static_rendezvous(self):
        self.assert_meet(self.agents("--master_addr", "host0", "--master_port", "29500", node_rank=(0, 1)))

    def test_ranks_meet_with_c10d_rendezvous(self):
        self.assert_meet(self.agents(*self.C10D))

    def test_ranks_meet_again_after_a_restart(self):
        fail_once = 'if [ "$TORCHELASTIC_RESTART_COUNT$RANK" = 03 ]; then exit 1; fi; exec "$0"'
        self.assert_meet(self.agents(*self.C10D, "--max_restarts", "2", program=("sh", "-c", fail_once, RANK)))


class TenonRun(Test):
    @classmethod
    def setUpClass(cls):
        need("ssh", "launchers")
        need("sshd", "launchers-more")

    def test_ranks_meet_over_ssh(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        agent = self.start_servers(Path(folder.name))
        self.assert_right([on_host(0, TENON, "run", "--launch-agent", agent, "--hosts", "host0:2,host1:2", "--", RANK)])
        self.assert_right([on_host(0, TENON, "run", "--launch-agent", agent, "--hosts", "host1:2,host0:2", "--", RANK)],
                          {0: "host1", 1: "host1", 2: "host0", 3: "host0"})

    def start_servers(self, folder):
        """An ssh server on each host, for keys made for this; what runs ssh with them."""
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        settings = f"""
            Port 2222
            HostKey {folder}/host
            AuthorizedKeysFile {folder}/authorized
            PidFile none
            StrictModes no
            UsePAM no
        """
        (folder / "sshd").write_text(settings)
        for k in range(2):
            # Where it leaves its privileges; systemd makes it elsewhere.
            command = f"mkdir -p /run/sshd; exec {shutil.which('sshd')} -D -e -f {folder}/sshd"
            pipes = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            server = subprocess.Popen(on_host(k, "sh", "-c", command), text=True, **pipes)
            self.addCleanup(server.wait)
            self.addCleanup(server.terminate)
            self.addCleanup(server.stderr.close)
            self.assertIn("listening", server.stderr.readline())
        options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        return " ".join([f"ssh -p 2222 -i {folder}/user", *(f"-o {option}" for option in options)])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
