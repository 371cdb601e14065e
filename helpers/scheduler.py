"""A cluster's scheduler, simulated: which job gets which devices, and when.

The policy is the caller's: a key that orders the waiting jobs, and three switches. Time is a plain number; a job needs a
fixed number of devices for a fixed time. Nothing is random, so the same jobs give the same schedule.

    >>> jobs = [Job("long", 1, 6), Job("short", 1, 1)]
    >>> simulate(jobs, 1, lambda job: job.arrival).waiting
    {'long': 0.0, 'short': 6.0}
    >>> simulate(jobs, 1, lambda job: job.duration).waiting
    {'long': 1.0, 'short': 0.0}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Job:
    """A job: ``devices`` of them for ``duration``, from ``arrival`` on. A larger ``priority`` is more urgent."""

    name: str
    devices: int
    duration: float
    arrival: float = 0.0
    priority: int = 0


@dataclass(frozen=True)
class Piece:
    """A stretch of time in which a job has devices. ``working`` is false while it only holds them and waits for more."""

    job: str
    devices: tuple[int, ...]
    start: float
    end: float
    working: bool = True


class Deadlock(RuntimeError):
    """Every waiting job holds devices that another one needs; nothing will ever run again."""


@dataclass(frozen=True)
class Schedule:
    """What happened.

    Attributes
    ----------
    devices : int
    pieces : tuple of Piece
        In the order of their ends.
    finish, waiting : dict of str to float
        For each job the time of its end, and how long it was in the system without working.
    evictions : int
        How often a running job was stopped for a more urgent one.
    """

    devices: int
    pieces: tuple[Piece, ...]
    finish: dict[str, float]
    waiting: dict[str, float]
    evictions: int = 0

    @property
    def makespan(self) -> float:
        """Time from 0 to the end of the last job."""
        return max(self.finish.values())

    @property
    def utilisation(self) -> float:
        """Share of all device time up to the makespan in which a device worked, 0 to 1."""
        busy = sum(len(p.devices) * (p.end - p.start) for p in self.pieces if p.working)
        return busy / (self.devices * self.makespan)


@dataclass
class _State:
    """A job in the system: what it still has to do, and what it has."""

    job: Job
    left: float
    has: list[int] = field(default_factory=list)
    since: float = 0.0
    worked: float = 0.0
    running: bool = False

    @property
    def end(self) -> float:
        return self.since + self.left if self.running else math.inf


def simulate(
    jobs: Sequence[Job], devices: int, order: Callable[[Job], Any], *, overtake: bool = False, preempt: bool = False,
    gang: bool = True, restart: float = 0.0,
) -> Schedule:  # fmt: skip
    """Run jobs on equal devices until all are done.

    Parameters
    ----------
    jobs : sequence of Job
        With different names; each fits on the devices.
    devices : int
        How many there are.
    order : callable
        Key of a job; the waiting job with the smallest key is served first. Equal keys: in the order of ``jobs``.
    overtake : bool
        Whether a job that fits may start before one that is ahead of it and does not fit.
    preempt : bool
        Whether a job may stop running jobs of lower ``priority``. These go on later where they were.
    gang : bool
        Whether a job takes all its devices at one moment. Otherwise the waiting jobs take free devices one by one, in
        turn, and keep them.
    restart : float
        Extra time that a stopped job needs when it goes on.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        For names that repeat, a job that can never run, or a time that makes no sense.
    Deadlock
        Only without ``gang``: all devices are held by jobs that wait for more.
    """
    _check(jobs, devices, restart, preempt and not gang)
    coming = sorted(jobs, key=lambda job: job.arrival)  # a stable sort: ties keep the order of the list
    place = {job.name: k for k, job in enumerate(jobs)}
    inside: list[_State] = []
    free, pieces, finish, waiting, evictions, now = list(range(devices)), [], {}, {}, 0, 0.0

    def put_back(state: _State) -> None:
        if state.has and now > state.since:
            pieces.append(Piece(state.job.name, tuple(sorted(state.has)), state.since, now, state.running))
        state.worked += (now - state.since) * state.running
        free.extend(state.has)
        free.sort()
        state.has, state.running = [], False

    def give(state: _State, count: int) -> None:
        if not state.has:
            state.since = now
        elif now > state.since:  # it held fewer until now
            pieces.append(Piece(state.job.name, tuple(sorted(state.has)), state.since, now, False))
            state.since = now
        state.has += free[:count]
        del free[:count]
        if len(state.has) == state.job.devices:
            state.running, state.since = True, now

    while coming or inside:
        now = min([coming[0].arrival] if coming else [], default=math.inf)
        now = min([now, *(state.end for state in inside)])
        if now == math.inf:
            held = ", ".join(f"'{s.job.name}' has {len(s.has)} of {s.job.devices}" for s in inside)
            raise Deadlock(f"no job can go on: {held} devices, and each waits for the others")
        for state in [s for s in inside if s.end <= now]:
            put_back(state)
            inside.remove(state)
            finish[state.job.name] = now
            waiting[state.job.name] = max(0.0, now - state.job.arrival - state.worked)
        while coming and coming[0].arrival <= now:
            job = coming.pop(0)
            inside.append(_State(job, job.duration))
        queue = sorted((s for s in inside if not s.running), key=lambda s: (order(s.job), place[s.job.name]))
        if not gang:
            while free and (hungry := [s for s in queue if not s.running]):
                for state in hungry[: len(free)]:
                    give(state, 1)
            continue
        for state in queue:
            if preempt and len(free) < state.job.devices:
                victims = [s for s in inside if s.running and s.job.priority < state.job.priority]
                victims.sort(key=lambda s: (s.job.priority, -s.since))  # least urgent first, then the latest start
                if len(free) + sum(s.job.devices for s in victims) >= state.job.devices:
                    while len(free) < state.job.devices:
                        victim = victims.pop(0)
                        victim.left += restart - (now - victim.since)
                        put_back(victim)
                        evictions += 1
            if len(free) >= state.job.devices:
                give(state, state.job.devices)
            elif not overtake:
                break
    return Schedule(devices, tuple(pieces), finish, {job.name: waiting[job.name] for job in jobs}, evictions)


def _check(jobs: Sequence[Job], devices: int, restart: float, contradiction: bool) -> None:
    if not jobs:
        raise ValueError("there is no job to schedule")
    if devices < 1 or not 0 <= restart < math.inf:
        raise ValueError(f"need at least one device and a restart time of 0 or more, got {devices} and {restart}")
    if contradiction:
        raise ValueError(
            "preempt needs gang: a job that holds devices without working cannot be stopped in a useful way"
        )
    if len({job.name for job in jobs}) < len(jobs):
        raise ValueError(f"each job needs a name of its own, got {[job.name for job in jobs]}")
    for job in jobs:
        if not (0 < job.duration < math.inf and 0 <= job.arrival < math.inf):
            raise ValueError(f"job '{job.name}' arrives at {job.arrival} and takes {job.duration}; times must be finite, "
                             "the arrival 0 or more, the duration above 0")  # fmt: skip
        if not 1 <= job.devices <= devices:
            raise ValueError(f"job '{job.name}' needs {job.devices} devices, there are {devices}: it can never run")
