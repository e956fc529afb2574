"""A Slurm of one node on this machine (Debian: apt-get install slurm-wlm munge), for as long as a test needs it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
_PATH = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES State=UP
"""


class NoSlurmError(Exception):
    """Slurm cannot be started here; the message holds what it said."""


def missing_programs() -> list[str]:
    """Returns the programs of Slurm and MUNGE that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]


@contextmanager
def running_slurm(directory: Path, cpus: int) -> Iterator[dict[str, str]]:
    """Starts MUNGE and Slurm, and gives the environment in which its commands find them.

    The node has processes of its own, as another machine has: where this may be done, `ps` here does not show its jobs
    under the numbers that they have there, and the node's /proc shows none of ours.

    Args:
        directory: takes keys, state and what the programs say.
        cpus: jobs that run at once.

    Raises:
        NoSlurmError: it does not start.
    """
    for name in ("state", "spool"):
        (directory / name).mkdir(parents=True)
    key = directory / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host, environment = socket.gethostname().partition(".")[0], {**os.environ, "PATH": _PATH}
    conf = directory / "slurm.conf"
    conf.write_text(
        _CONF.format(host=host, ports=_free_ports(2), directory=directory, user=getpass.getuser(), cpus=cpus)
    )
    (directory / "cgroup.conf").write_text("# none are used\n")
    environment["SLURM_CONF"] = str(conf)
    munge = [f"--{name}={directory}/munge.{name.partition('-')[0]}" for name in ("socket", "key-file", "pid-file")]
    munge += [f"--seed-file={directory}/munge.seed", f"--log-file={directory}/munge.log", "--force", "--foreground"]
    own = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        own = []
    commands = {"munged": ["munged", *munge], "slurmctld": ["slurmctld", "-D"], "slurmd": [*own, "slurmd", "-D"]}
    daemons: list[subprocess.Popen] = []
    try:
        for name, command in commands.items():
            with (directory / f"{name}.out").open("wb") as out:
                daemons.append(
                    subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
                )
            if name == "munged":
                _wait(lambda: (directory / "munge.socket").exists(), daemons, directory)
        _wait(lambda: "idle" in _said(["sinfo", "-h", "-o", "%T"], environment), daemons, directory)
        yield environment
    finally:
        if len(daemons) == len(commands):
            _said(["scancel", "--user", getpass.getuser()], environment)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def jobs(environment: dict[str, str]) -> list[tuple[str, str]]:
    """Returns number and state (PENDING, RUNNING, ...) of the jobs that have not ended."""
    lines = _said(["squeue", "-h", "-o", "%i %T"], environment).splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines]


def control(environment: dict[str, str], *words: str) -> None:
    """Calls scontrol."""
    subprocess.run(["scontrol", *words], env=environment, check=True, timeout=60)


def _said(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60).stdout


def _wait(ready, daemons: list[subprocess.Popen], directory: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in daemons):
            said = [f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in directory.glob("*.out")]
            raise NoSlurmError("\n".join(sorted(said)))
        time.sleep(0.2)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
