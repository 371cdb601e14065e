"""Summaries with numbers known by hand, a reservoir proven over all its outcomes, detectors against their loops."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import continual

BY_HAND = np.array([[0.9, np.nan, np.nan], [0.5, 0.8, np.nan], [0.6, 0.2, 0.7]])
BITS = st.lists(st.integers(0, 1), min_size=1, max_size=200)


class TestSummaries:
    def test_known_by_hand(self):
        assert continual.average_accuracy(BY_HAND) == pytest.approx(0.5)  # (0.6 + 0.2 + 0.7) / 3
        assert continual.backward_transfer(BY_HAND) == pytest.approx(-0.45)  # (-0.3 - 0.6) / 2
        assert continual.forgetting(BY_HAND) == pytest.approx(0.45)

    def test_forgetting_counts_from_the_best_and_backward_transfer_from_the_first(self):
        late = np.array([[0.5, 0, 0], [0.9, 0.8, 0], [0.6, 0.8, 0.7]])
        assert continual.backward_transfer(late) == pytest.approx(0.05)
        assert continual.forgetting(late) == pytest.approx(0.15)

    @given(st.integers(2, 6), st.integers(0, 1000))
    def test_forgetting_is_never_below_minus_backward_transfer(self, tasks, seed):
        matrix = np.random.default_rng(seed).random((tasks, tasks))
        assert continual.forgetting(matrix) >= -continual.backward_transfer(matrix) - 1e-12

    @pytest.mark.parametrize(
        ("matrix", "message"),
        [(np.ones((2, 3)), "one row and one column"), (np.ones((0, 0)), "at least 2"), (np.ones((1, 1)), "at least 2"),
         (np.full((2, 2), np.nan), "got nan"), (np.full((2, 2), 97.0), "got 97")],
    )  # fmt: skip
    def test_bad_matrices_are_refused(self, matrix, message):
        with pytest.raises(ValueError, match=message):
            continual.forgetting(matrix)


class TestReservoir:
    @pytest.mark.parametrize(("size", "n"), [(1, 5), (2, 5), (3, 6)])
    def test_every_subset_is_equally_likely_over_all_outcomes(self, size, n):
        samples = Counter()
        for path in product(*(range(k) for k in range(size + 1, n + 1))):
            outcomes = iter(path)
            reservoir = continual.Reservoir(size, lambda k, outcomes=outcomes: next(outcomes))
            for item in range(n):
                reservoir.add(item)
            samples[tuple(sorted(reservoir.items))] += 1
        assert set(samples) == set(combinations(range(n), size))
        assert len(set(samples.values())) == 1

    def test_keeps_everything_while_there_is_room(self):
        reservoir = continual.Reservoir(10, np.random.default_rng(0).integers)
        for item in "abc":
            reservoir.add(item)
        assert (reservoir.items, reservoir.seen) == (["a", "b", "c"], 3)

    @pytest.mark.parametrize("size", [0, -1, 1.5])
    def test_bad_sizes_are_refused(self, size):
        with pytest.raises(ValueError, match="at least 1"):
            continual.Reservoir(size, int)


def page_hinkley_loop(values, slack):
    n = mean = total = lowest = 0.0
    found = []
    for value in values:
        n += 1
        mean += (value - mean) / n
        total += value - mean - slack
        lowest = min(lowest, total)
        found.append(total - lowest)
    return found


def ddm_loop(errors, least):
    p, best, found = 0.0, (np.inf, np.inf), []
    for n, error in enumerate(errors, start=1):
        p += (error - p) / n
        s = np.sqrt(max(p * (1 - p), 0) / n)
        if n >= least and p + s < sum(best):
            best = (p, s)
        rise = p + s - best[0]
        found.append(0.0 if n < least or abs(rise) < 1e-15 else rise / best[1] if best[1] > 1e-9 else np.inf)
    return found


class TestDetectors:
    @given(BITS, st.floats(0, 0.5))
    def test_page_hinkley_is_its_loop(self, bits, slack):
        assert continual.page_hinkley(np.array(bits), slack) == pytest.approx(page_hinkley_loop(bits, slack), abs=1e-9)

    def test_page_hinkley_known_by_hand(self):
        # means 0, 1/2, 2/3; steps -0.1, 0.4, 7/30; lowest -0.1
        assert continual.page_hinkley(np.array([0, 1, 1]), 0.1) == pytest.approx([0, 0.4, 0.4 + 7 / 30])

    @pytest.mark.parametrize("seed", range(20))
    def test_ddm_is_its_loop(self, seed):
        errors = (np.random.default_rng(seed).random(400) < np.repeat([0.1, 0.4], 200)).astype(int)
        assert continual.ddm(errors) == pytest.approx(ddm_loop(errors, 30), rel=1e-6, abs=1e-6)

    def test_ddm_after_a_perfect_start_rings_at_the_first_error(self):
        errors = np.zeros(60)
        errors[50] = 1
        assert continual.first_alarm(continual.ddm(errors), 3) == 50

    def test_many_streams_are_single_streams(self):
        errors = (np.random.default_rng(0).random((5, 300)) < 0.2).astype(int)
        for statistic in (lambda e: continual.page_hinkley(e, 0.05), continual.ddm):
            assert np.array_equal(statistic(errors), [statistic(one) for one in errors])

    def test_a_planted_rise_is_found_and_its_absence_is_not(self):
        rng = np.random.default_rng(0)
        calm = (rng.random((50, 1000)) < 0.1).astype(int)
        risen = np.where(np.arange(1000) < 500, calm, rng.random((50, 1000)) < 0.5)
        statistics = [continual.page_hinkley(e, 0.05) for e in (calm, risen)]
        assert np.mean(continual.first_alarm(statistics[0], 20) == 1000) > 0.95
        alarms = continual.first_alarm(statistics[1], 20)
        assert np.all((alarms >= 500) & (alarms < 650))

    @given(BITS, st.integers(0, 1000))
    def test_the_past_does_not_depend_on_the_future(self, bits, seed):
        other = np.random.default_rng(seed).integers(0, 2, 50)
        for statistic in (lambda e: continual.page_hinkley(e, 0.05), continual.ddm):
            longer = statistic(np.concatenate([bits, other]))
            assert np.array_equal(longer[: len(bits)], statistic(np.array(bits)))

    def test_first_alarm_is_strict_and_says_n_for_none(self):
        assert continual.first_alarm(np.array([0, 3.0, 3.1]), 3) == 2
        assert continual.first_alarm(np.array([[0, 1], [5, 0]]), 3).tolist() == [2, 0]

    @pytest.mark.parametrize(
        ("call", "message"),
        [(lambda: continual.page_hinkley([1.0], -0.1), "zero or positive"),
         (lambda: continual.page_hinkley([], 0.1), "at least 1"),
         (lambda: continual.page_hinkley([np.nan], 0.1), "finite"),
         (lambda: continual.ddm([0.5]), "0 for a right"), (lambda: continual.ddm([0], least=0), "at least 1")],
    )  # fmt: skip
    def test_bad_input_is_refused(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()
