"""The simulated scheduler: schedules known by hand, laws that every schedule obeys, and input that it refuses."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.scheduler import Deadlock, Job, simulate


def first_come(job):
    return job.arrival


def shortest(job):
    return job.duration


def urgent(job):
    return -job.priority, job.arrival


JOBS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=12
).map(lambda rows: [Job(f"j{k}", *row) for k, row in enumerate(rows)])
POLICIES = st.sampled_from([
    {"order": first_come}, {"order": first_come, "overtake": True}, {"order": shortest, "overtake": True},
    {"order": urgent, "preempt": True}, {"order": urgent, "preempt": True, "overtake": True, "restart": 0.5},
])  # fmt: skip


# -- known by hand -------------------------------------------------------------------------------------------------------
def test_three_jobs_on_one_device():
    jobs = [Job("A", 1, 6), Job("B", 1, 2), Job("C", 1, 1)]
    assert simulate(jobs, 1, first_come).waiting == {"A": 0, "B": 6, "C": 8}
    assert simulate(jobs, 1, shortest).waiting == {"A": 3, "B": 1, "C": 0}


def test_the_head_of_the_queue_blocks_unless_others_may_overtake():
    jobs = [Job("A", 1, 4), Job("B", 2, 1), Job("C", 1, 2)]
    strict, free = simulate(jobs, 2, first_come), simulate(jobs, 2, first_come, overtake=True)
    assert strict.finish == {"A": 4, "B": 5, "C": 7}
    assert free.finish == {"A": 4, "C": 2, "B": 5}
    assert strict.utilisation == pytest.approx(8 / 14)
    assert free.utilisation == pytest.approx(8 / 10)


def test_an_urgent_job_stops_another_which_goes_on_where_it_was():
    jobs = [Job("A", 2, 10), Job("U", 1, 2, arrival=3, priority=1)]
    done = simulate(jobs, 2, urgent, preempt=True, restart=0.5)
    assert done.finish == {"U": 5, "A": 12.5}  # 3 of 10 done; 2 waiting; 7 and a half to go
    assert done.evictions == 1
    assert done.waiting == {"A": pytest.approx(2), "U": 0}


def test_the_least_urgent_and_latest_is_stopped_and_no_more_than_needed():
    jobs = [Job("A", 1, 9, priority=1), Job("B", 1, 9), Job("C", 1, 9, arrival=1), Job("U", 1, 1, 2, priority=2)]
    done = simulate(jobs, 3, urgent, preempt=True)
    assert done.finish == {"U": 3, "A": 9, "B": 9, "C": 11}


def test_equal_priority_stops_nobody():
    assert simulate([Job("A", 1, 5), Job("B", 1, 1, 1)], 1, urgent, preempt=True).evictions == 0


def test_collecting_devices_one_by_one():
    with pytest.raises(Deadlock, match="'A' has 1 of 2, 'B' has 1 of 2 devices"):
        simulate([Job("A", 2, 1), Job("B", 2, 1)], 2, first_come, gang=False)
    done = simulate([Job("A", 2, 1), Job("B", 2, 1)], 3, first_come, gang=False)
    assert done.finish == {"A": 1, "B": 2}
    assert [(p.job, p.working) for p in done.pieces] == [("A", True), ("B", False), ("B", True)]


# -- laws ----------------------------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=150)
@given(JOBS, POLICIES)
def test_laws_of_every_schedule(jobs, policy):
    done = simulate(jobs, 4, **policy)
    restart = policy.get("restart", 0)
    for moment in {p.start for p in done.pieces}:
        used = [d for p in done.pieces if p.start <= moment < p.end for d in p.devices]
        assert len(used) == len(set(used))
        assert set(used) <= set(range(4))
    worked = dict.fromkeys((job.name for job in jobs), 0.0)
    for piece in done.pieces:
        worked[piece.job] += piece.end - piece.start
    for job in jobs:
        mine = [p for p in done.pieces if p.job == job.name]
        assert all(len(p.devices) == job.devices for p in mine)
        assert min(p.start for p in mine) >= job.arrival
        assert max(p.end for p in mine) == done.finish[job.name]
        extra = worked[job.name] - job.duration
        assert -1e-9 <= extra <= restart * done.evictions + 1e-9
        assert done.waiting[job.name] == pytest.approx(done.finish[job.name] - job.arrival - worked[job.name])
        assert done.finish[job.name] >= job.arrival + job.duration
    assert sum(worked.values()) == pytest.approx(sum(j.duration for j in jobs) + restart * done.evictions)
    work = sum(job.devices * job.duration for job in jobs)
    assert done.makespan >= max(work / 4, max(job.arrival + job.duration for job in jobs)) - 1e-9
    assert 0 < done.utilisation <= 1 + 1e-9


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_shortest_first_has_the_least_mean_waiting_of_all_orders(durations):
    jobs = [Job(f"j{k}", 1, d) for k, d in enumerate(durations)]
    best = min(
        sum(simulate(list(order), 1, first_come).waiting.values()) for order in permutations(jobs)
    )  # ties keep the order of the list
    assert sum(simulate(jobs, 1, shortest).waiting.values()) == best


@settings(deadline=None, max_examples=50)
@given(JOBS)
def test_in_order_of_arrival_nobody_starts_before_an_earlier_one(jobs):
    done = simulate(jobs, 4, first_come)
    starts = {p.job: p.start for p in done.pieces}
    queue = sorted(jobs, key=first_come)
    assert [starts[j.name] for j in queue] == sorted(starts.values())


# -- refused -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ([], "no job"),
        ([Job("A", 1, 1), Job("A", 1, 1)], "name of its own"),
        ([Job("A", 3, 1)], "needs 3 devices, there are 2: it can never run"),
        ([Job("A", 0, 1)], "needs 0 devices"),
        ([Job("A", 1, 0)], "times must be finite"),
        ([Job("A", 1, float("inf"))], "times must be finite"),
        ([Job("A", 1, float("nan"))], "times must be finite"),
        ([Job("A", 1, 1, arrival=-1)], "times must be finite"),
    ],
)
def test_impossible_jobs_are_refused(jobs, words):
    with pytest.raises(ValueError, match=words):
        simulate(jobs, 2, first_come)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="at least one device"):
        simulate([Job("A", 1, 1)], 0, first_come)
    with pytest.raises(ValueError, match="restart time"):
        simulate([Job("A", 1, 1)], 1, first_come, restart=-1)
    with pytest.raises(ValueError, match="preempt needs gang"):
        simulate([Job("A", 1, 1)], 1, first_come, preempt=True, gang=False)
