"""Sweeps on a real Slurm, of one node, with jobs that are requeued, preempted, cancelled and left alone."""

import json
import signal
import time

import psutil
import pytest
import yaml

from tests.sweeps.commands import Command
from tests.sweeps.slurm_cluster import SlurmCluster, available
from tests.sweeps.test_killed import check_files, check_same
from tests.sweeps.test_run import figures

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not available(), reason="needs Slurm's daemons and munge (Debian: slurm-wlm, munge)"),
]

SMALL = ("data.n_train=16", "data.n_val=16", "data.n_test=101", "model.width=8", "trainer.progress_bar=false")
SLURM = ("-m", "hydra.launcher.cluster=slurm", "hydra.launcher.partition=main")


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


def until(condition, process=None, seconds=300):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert process is None or process.process.is_alive(), process.printed()
        assert time.monotonic() < deadline
        time.sleep(0.2)  # each look is a process
    return value


def jobs(cluster):
    """Return the states of all jobs by their ids."""
    lines = cluster.run("squeue", "--array", "--states=all", "--noheader", "--format=%i %T").splitlines()
    return dict(line.split() for line in lines)


def at_work(sweep):
    """Return the unfinished runs that have saved a checkpoint."""
    return [
        path.parent.name
        for path in sweep.glob("*/status.json")
        if (state := json.loads(path.read_text()))["status"] == "running" and state["step"] > 0
    ]


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


def test_all_runs_finish_though_jobs_are_requeued_and_preempted(command, cluster, train, tmp_path):
    slow = ("trainer.max_steps=6000", "trainer.compile=off", "trainer.checkpoint_seconds=0.2")
    sweep = (*SMALL, *slow, "seed=range(5)", "sampling=random")
    process = command(*SLURM, *sweep, "hydra.sweep.dir=slurm", "hydra.launcher.processes=5")

    def three_at_work():
        alive = {job: processes_of(job) for job, state in jobs(cluster).items() if state == "RUNNING"}
        return alive if len(alive) == 3 == len(at_work(tmp_path / "slurm")) and all(alive.values()) else None

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

    until(over, seconds=240)
    status, out = process.wait(300)
    assert status == 0, out
    assert "5 runs by test/mse_df" in out
    log = "".join(path.read_text() for path in (tmp_path / "slurm" / ".submitit" / preempted).glob("*_log.out"))
    assert f"Requeued job {preempted}" in log
    code, out, err = train("-m", "hydra.launcher.processes=5", *sweep, "hydra.sweep.dir=local")
    assert code == 0, out + err
    for number in range(5):
        check_files(tmp_path / "slurm" / str(number))
        check_same(tmp_path / "slurm" / str(number), tmp_path / "local" / str(number))


def test_commander_that_is_interrupted(command, cluster, tmp_path):
    long = ("trainer.max_steps=400000", "trainer.compile=off", "trainer.checkpoint_seconds=0.2", "seed=range(2)")
    earlier = set(jobs(cluster))
    process = command(*SLURM, *SMALL, *long, "hydra.launcher.processes=1", "hydra.sweep.dir=sweep")
    until(lambda: len(at_work(tmp_path / "sweep")) == 2, process)
    process.end("INT", "command")
    status, out = process.wait(60)
    assert status == 1
    assert "interrupted; 0 of 2 runs are finished" in out
    until(lambda: all(state == "CANCELLED" for job, state in jobs(cluster).items() if job not in earlier))
    states = [json.loads(path.read_text())["status"] for path in (tmp_path / "sweep").glob("*/status.json")]
    assert states == ["interrupted", "interrupted"]


def test_a_cancelled_job_is_reported_in_the_table(command, cluster, tmp_path):
    steps = ("trainer.max_steps=500,400000", "trainer.compile=off", "trainer.checkpoint_seconds=0.2")
    sweep = (*SLURM, *SMALL, *steps)
    earlier = set(jobs(cluster))
    process = command(*sweep, "hydra.launcher.processes=2", "hydra.sweep.dir=sweep")

    def mine():
        return {job: state for job, state in jobs(cluster).items() if job not in earlier}

    until(lambda: sorted(mine().values()) == ["COMPLETED", "RUNNING"], process)
    (left,) = [job for job, state in mine().items() if state == "RUNNING"]
    cluster.run("scancel", left)
    status, out = process.wait(300)
    assert status == 1
    assert f"error: its Slurm job {left} ended as CANCELLED" in out
    states = [json.loads((tmp_path / "sweep" / run / "status.json").read_text())["status"] for run in "01"]
    assert states == ["finished", "interrupted"]


def test_submitit_slurm(command, train, tmp_path):
    options = ("-m", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=main", "hydra.sweep.dir=sweep")
    short = (*SMALL, "seed=0,1", "trainer.max_steps=200", "pictures=false")
    process = command(*options, *short)
    status, out = process.wait(300)
    assert status == 0, out
    assert "2 runs by test/mse_df" in out
    basic = ("-m", "hydra/launcher=basic", "hydra.sweep.dir=basic", *short)
    code, out, err = train(*basic)
    assert code == 0, out + err
    for name in "01":
        assert figures(tmp_path / "sweep" / name) == figures(tmp_path / "basic" / name)
    record = yaml.safe_load((tmp_path / "sweep" / "0" / ".hydra" / "hydra.yaml").read_text())
    assert "SlurmLauncher" in record["hydra"]["launcher"]["_target_"]
