"""A private Slurm cluster of one node on loopback, for tests."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.sweeps.commands import PATIENCE

SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])

CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
# a requeued job waits until its credential expires, 5 is the least Slurm accepts
AuthInfo=socket={sockets}/munge,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={sockets}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=300
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={cpus} RealMemory=4000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
"""


# There is no accounting, but `squeue` remembers the jobs that have ended.
ACCOUNTING = """\
#!/bin/sh
echo 'JobID|State|NodeList'
exec squeue --me --array --states=all --noheader --format='%i|%T|%N'
"""


def find(program):
    return shutil.which(program, path=SEARCH_PATH)


def available():
    return all(map(find, ("slurmctld", "slurmd", "munged", "sbatch")))


class SlurmCluster:
    def __init__(self, folder: Path, cpus: int):
        self.folder, self.cpus, self.daemons = folder.resolve(), cpus, {}
        self.user, self.host = pwd.getpwuid(os.geteuid()).pw_name, socket.gethostname().split(".")[0]
        path = os.pathsep.join([str(self.folder / "bin"), SEARCH_PATH])
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}
        # A Unix socket's path holds 107 characters: .../spool/node_<job>.<step>
        self.sockets = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))

    def __enter__(self):
        for folder in (self.folder / "state", self.folder / "bin", self.sockets / "spool"):
            folder.mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            ports = {"controller_port": one.getsockname()[1], "node_port": other.getsockname()[1]}
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**vars(self), **ports))
        (accounting := self.folder / "bin" / "sacct").write_text(ACCOUNTING)
        accounting.chmod(0o755)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        try:
            # without --force munged refuses a socket in a folder that others cannot enter, as pytest's are
            self._launch("munged", "--foreground", "--force", f"--socket={self.sockets}/munge", *files)
            self._wait((self.sockets / "munge").exists)
            self._launch("slurmctld", "-D")
            self._launch("slurmd", "-D", "-N", "node")
            self._wait(lambda: self.run("sinfo", "--noheader", "--format=%T") == "idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with suppress(subprocess.TimeoutExpired):
            self.run("scancel", f"--user={self.user}")
        for name, daemon in reversed(self.daemons.items()):
            # slurmd would wait for jobs that ignore SIGTERM
            daemon.send_signal(signal.SIGKILL if name == "slurmd" else signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(5)
        until = time.monotonic() + 5
        while (left := self._processes()) and time.monotonic() < until:  # again, for what they start meanwhile
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)
        for daemon in self.daemons.values():
            daemon.wait()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _processes(self) -> list[int]:
        """Return the daemons and jobs, by a variable that all inherit; slurmstepd, which overwrites it, by its log."""
        variable, processes = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode(), []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                log = str(self.folder / "slurmd.log") in map(os.path.realpath, (process / "fd").iterdir())
                if log or variable in (process / "environ").read_bytes().split(b"\0"):
                    processes.append(int(process.name))
        return processes

    def run(self, program: str, *arguments: str) -> str:
        """Return what one of Slurm's commands prints; nothing if it fails."""
        command, environment = [find(program), *arguments], {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout.strip()

    def _launch(self, program: str, *arguments: str):
        command, environment = [find(program), *arguments], {**os.environ, **self.environment}
        with (self.folder / f"{program}.out").open("wb") as out:
            streams = {"stdout": out, "stderr": subprocess.STDOUT}
            # a session of its own, so that Ctrl-C reaches the tests first
            self.daemons[program] = subprocess.Popen(command, env=environment, start_new_session=True, **streams)

    def _wait(self, ready):
        until = time.monotonic() + PATIENCE
        while not ready():
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > until:
                tails = [f"{name}: {(self.folder / f'{name}.out').read_text()[-2000:]}" for name in self.daemons]
                raise RuntimeError("\n".join([f"Slurm does not start, ended: {dead}", *tails]))
            time.sleep(0.05)
