"""One scheduler: jobs that need others, several at once. Of a recipe's models, and of a matrix's runs."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from espnet_ext.errors import UserError
from espnet_ext.recipe.processes import StoppedError, allow_commands, end_children, held_locks, inheriting


@dataclass
class Job:
    """Something to do.

    Attributes:
        name: shown.
        work: does it; raises a `UserError` where it fails.
        needs: jobs that must be done before.
        claims: names of what it alone may write meanwhile, e.g. directories.
        state: waiting, running, done, failed or left out.
        error: why it failed.
    """

    name: str
    work: Callable[[], None]
    needs: Sequence["Job"] = ()
    claims: Callable[[], set[str]] = field(default=set)
    state: str = "waiting"
    error: str = ""


class Scheduler:
    """Works jobs off in their order, as soon as those they need are done and what they write is free.

    A job that fails lets the others end; those that need it are left out. An interrupt ends everything at once.

    Args:
        at_once: most jobs at a time.
        say: shows a line.
    """

    def __init__(self, at_once: int, say: Callable[[str], None]):
        self.at_once, self.say = at_once, say
        self._changed = threading.Condition()

    def work(self, jobs: Sequence[Job]) -> None:
        """Does all of them.

        Raises:
            UserError: some failed; it names them, with the reasons.
        """
        threads: list[threading.Thread] = []
        claimed: dict[int, set[str]] = {}
        locks = held_locks()
        allow_commands()
        try:
            with self._changed:
                while any(job.state in ("waiting", "running") for job in jobs):
                    self._start(jobs, claimed, threads, locks)
                    # Now and then also without news, so that an interrupt is seen.
                    self._changed.wait(timeout=0.5)
        except BaseException:
            deadline = time.monotonic() + 30
            while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
                end_children()
                for thread in threads:
                    thread.join(timeout=0.1)
            raise
        if failed := [job for job in jobs if job.state == "failed"]:
            others = [job.name for job in jobs if job.state == "left out"]
            left = f"\nleft out, because of that: {', '.join(others)}" if others else ""
            if len(failed) == 1:
                raise UserError(failed[0].error + left)
            raise UserError("\n".join([f"{len(failed)} failed:", *(job.error for job in failed)]) + left)

    def _start(self, jobs: Sequence[Job], claimed: dict, threads: list, locks: list[int]) -> None:
        for job in jobs:
            if job.state != "waiting":
                continue
            if any(need.state in ("failed", "left out") for need in job.needs):
                job.state = "left out"
                self.say(f"{job.name}: left out, because what it needs failed")
                continue
            running = [other for other in jobs if other.state == "running"]
            if len(running) >= self.at_once or any(need.state != "done" for need in job.needs):
                continue
            claims = job.claims()
            if any(claims & claimed[id(other)] for other in running):
                continue
            claimed[id(job)], job.state = claims, "running"
            # A daemon: after an interrupt nothing waits for it.
            thread = threading.Thread(target=self._run, args=(job, jobs, locks), name=job.name, daemon=True)
            threads.append(thread)
            thread.start()

    def _run(self, job: Job, jobs: Sequence[Job], locks: list[int]) -> None:
        state, stopped = "done", False
        try:
            with inheriting(locks):
                job.work()
        except StoppedError:
            state, stopped = "failed", True
        except UserError as error:
            state, job.error = "failed", str(error)
        except BaseException as error:  # a fault of ours must not hide behind a thread, nor a job run for ever
            import traceback

            traceback.print_exc()
            state, job.error = "failed", f"{job.name}: {type(error).__name__}: {error}"
        with self._changed:
            job.state = state
            others = sum(other.state == "running" for other in jobs)
            if state == "failed" and others and not stopped:
                self.say(f"{job.name} failed: {job.error.splitlines()[0]}; {others} beside it go on")
            self._changed.notify_all()
