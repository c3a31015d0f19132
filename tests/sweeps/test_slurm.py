"""Sweeps on a real Slurm, of one node, with jobs that are requeued, preempted, cancelled and left alone."""

import signal
import time
from importlib.util import find_spec

import psutil
import pytest
import yaml

from tests.sweeps.commands import PATIENCE, Command
from tests.sweeps.slurm_cluster import SlurmCluster, available
from tests.sweeps.test_killed import check_files, check_same
from tests.sweeps.test_run import figures, state

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not available(), reason="needs Slurm's daemons and munge (Debian: slurm-wlm, munge)"),
    pytest.mark.skipif(find_spec("submitit") is None, reason="needs submitit (the extra `slurm`)"),
]

SMALL = ("data.n_train=16", "data.n_val=16", "data.n_test=101", "model.width=8", "trainer.progress_bar=false")
SLURM = ("-m", "hydra.launcher.cluster=slurm", "hydra.launcher.partition=main", "hydra.sweep.dir=sweep")
SLOW = ("trainer.compile=off", "trainer.checkpoint_seconds=0.2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with SlurmCluster(tmp_path_factory.mktemp("slurm"), cpus=3) as slurm:
        yield slurm


@pytest.fixture
def command(cluster, tmp_path):
    """`python train.py ...` on the machine that jobs are sent from."""

    def start(*arguments):
        return Command(tmp_path, *arguments, environment=cluster.environment)

    yield start
    if left := cluster.run("squeue", "--noheader", "--format=%A").split():
        cluster.run("scancel", *left)


def until(condition, process=None):
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert process is None or process.process.is_alive(), process.printed()
        assert time.monotonic() < deadline
        time.sleep(0.2)  # each look is a process
    return value


def jobs(cluster, earlier=()):
    """Return the states of all jobs but earlier ones, by their ids."""
    lines = cluster.run("squeue", "--array", "--states=all", "--noheader", "--format=%i %T").splitlines()
    return {job: state for job, state in map(str.split, lines) if job not in earlier}


def at_work(sweep):
    """Return the unfinished runs that have saved a checkpoint."""
    runs = [path.parent for path in sweep.glob("*/status.json")]
    return [run.name for run in runs if (found := state(run))["status"] == "running" and found["step"] > 0]


def processes_of(job):
    """Return the Python processes of a job."""
    processes = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            array = f"{environment.get('SLURM_ARRAY_JOB_ID')}_{environment.get('SLURM_ARRAY_TASK_ID')}"
            if job in (array, environment.get("SLURM_JOB_ID")) and "submitit.core._submit" in process.cmdline():
                processes.append(process)
        except psutil.Error:
            continue
    return processes


def test_all_runs_finish_though_jobs_are_requeued_and_preempted(command, cluster, finish, tmp_path):
    sweep, slurm = (*SMALL, *SLOW, "trainer.max_steps=6000", "seed=range(5)", "sampling=random"), tmp_path / "sweep"
    process = command(*SLURM, *sweep, "hydra.launcher.processes=5")

    def three_at_work():
        alive = {job: processes_of(job) for job, state in jobs(cluster).items() if state == "RUNNING"}
        return alive if len(alive) == 3 == len(at_work(slurm)) and all(alive.values()) else None

    alive = until(three_at_work, process)
    _, preempted, requeued = alive
    for one in alive[preempted]:
        one.send_signal(signal.SIGUSR2)  # as Slurm does
    cluster.run("scontrol", "requeue", requeued)

    def over():
        for job in (requeued, preempted):  # a requeued job waits for a while
            if jobs(cluster).get(job) == "PENDING":
                cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")
        return not process.process.is_alive()

    until(over)
    status, out = process.wait()
    assert status == 0, out
    assert "5 runs by test/mse_df" in out
    log = "".join(path.read_text() for path in (slurm / ".submitit" / preempted).glob("*_log.out"))
    assert "this job is preempted" in log
    assert log.count("Starting with JobEnvironment") == 2  # before and after; its last words may be lost with it
    finish("-m", "hydra.launcher.processes=5", *sweep, "hydra.sweep.dir=local")
    for number in "01234":
        check_files(slurm / number)
        check_same(slurm / number, tmp_path / "local" / number)


def test_commander_that_is_interrupted(command, cluster, tmp_path):
    long, earlier = (*SLOW, "trainer.max_steps=400000", "seed=range(2)"), {*jobs(cluster)}
    process = command(*SLURM, *SMALL, *long, "hydra.launcher.processes=1")
    until(lambda: len(at_work(tmp_path / "sweep")) == 2, process)
    process.end("INT", "command")
    status, out = process.wait()
    assert status == 1
    assert "interrupted; 0 of 2 runs are finished" in out
    until(lambda: {*jobs(cluster, earlier).values()} <= {"CANCELLED"})
    assert [state(tmp_path / "sweep" / run)["status"] for run in "01"] == ["interrupted", "interrupted"]


def test_a_cancelled_job_is_reported_in_the_table(command, cluster, tmp_path):
    earlier = {*jobs(cluster)}
    process = command(*SLURM, *SMALL, *SLOW, "trainer.max_steps=500,400000", "hydra.launcher.processes=2")
    until(lambda: sorted(jobs(cluster, earlier).values()) == ["COMPLETED", "RUNNING"], process)
    (left,) = [job for job, state in jobs(cluster, earlier).items() if state == "RUNNING"]
    cluster.run("scancel", left)
    status, out = process.wait()
    assert status == 1
    assert f"error: its Slurm job {left} ended as CANCELLED" in out
    assert [state(tmp_path / "sweep" / run)["status"] for run in "01"] == ["finished", "interrupted"]


def test_submitit_slurm(command, finish, tmp_path):
    short = ("-m", *SMALL, "seed=0,1", "trainer.max_steps=200", "pictures=false")
    options = ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=main", "hydra.sweep.dir=sweep")
    status, out = command(*short, *options).wait()
    assert status == 0, out
    assert "2 runs by test/mse_df" in out
    finish(*short, "hydra/launcher=basic", "hydra.sweep.dir=basic")
    for name in "01":
        assert figures(tmp_path / "sweep" / name) == figures(tmp_path / "basic" / name)
    record = yaml.safe_load((tmp_path / "sweep" / "0" / ".hydra" / "hydra.yaml").read_text())
    assert "SlurmLauncher" in record["hydra"]["launcher"]["_target_"]
