"""Intervals and decisions about classifiers: known answers, properties, and what must be refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from helpers.metrics import bootstrap_interval, calibration_error, cost_threshold, mcnemar_exact

Y = np.array([0, 1, 1, 0, 1])
SCORE = np.array([0.1, 0.9, 0.4, 0.4, 0.8])


class TestMcNemar:
    def test_a_case_by_hand(self):
        y = np.zeros(7, int)
        result = mcnemar_exact(y, np.array([0, 0, 0, 0, 1, 1, 0]), np.array([1, 1, 1, 0, 0, 1, 0]))
        assert (result.only_first, result.only_second) == (3, 1)
        assert result.p_value == pytest.approx(2 * (1 + 4) / 16)

    @given(st.integers(0, 60), st.integers(0, 60))
    def test_agrees_with_the_binomial_test(self, b, c):
        y, first = np.zeros(b + c + 1, int), np.zeros(b + c + 1, int)
        second = first.copy()
        second[:b], first[b : b + c] = 1, 1
        result = mcnemar_exact(y, first, second)
        expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
        assert result.p_value == pytest.approx(expected, rel=1e-9)
        assert mcnemar_exact(y, second, first).p_value == result.p_value

    def test_thousands_of_differences_do_not_overflow(self):
        y, first, second = np.zeros(9000, int), np.zeros(9000, int), np.zeros(9000, int)
        first[:5000], second[5000:] = 1, 1
        assert mcnemar_exact(y, first, second).p_value == pytest.approx(binomtest(4000, 9000, 0.5).pvalue, rel=1e-6)

    def test_only_right_and_wrong_count(self):
        y = np.array([3, 3, 3])
        assert mcnemar_exact(y, np.array([1, 2, 3]), np.array([2, 1, 3])).only_first == 0

    @pytest.mark.parametrize("odd", [-1, 10])
    def test_labels_outside_of_the_classes_are_refused(self, odd):
        with pytest.raises(ValueError, match=f"first holds the label {odd}; with 10 classes"):
            mcnemar_exact(np.array([0, 9]), np.array([odd, 9]), np.array([0, 9]), classes=10)
        assert mcnemar_exact(np.array([0, 9]), np.array([odd, 9]), np.array([0, 9])).only_second == 1

    def test_probabilities_are_not_labels(self):
        with pytest.raises(ValueError, match="probabilities are not labels"):
            mcnemar_exact(Y, SCORE, Y)


class TestBootstrap:
    def test_the_mean_of_a_normal_sample(self):
        x = np.random.default_rng(0).normal(5, 2, 400)
        low, high = bootstrap_interval(np.mean, x, resamples=4000)
        half = 1.96 * x.std() / 20
        assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.03)

    def test_is_repeatable_and_moves_with_the_seed(self):
        x = np.arange(30.0)
        assert bootstrap_interval(np.mean, x) == bootstrap_interval(np.mean, x)
        assert bootstrap_interval(np.mean, x) != bootstrap_interval(np.mean, x, seed=1)

    def test_more_confidence_is_wider(self):
        x = np.arange(30.0)
        low, high = bootstrap_interval(np.mean, x, confidence=0.8)
        lower, higher = bootstrap_interval(np.mean, x, confidence=0.99)
        assert lower < low < high < higher

    def test_rows_stay_together(self):
        x = np.arange(50)
        assert bootstrap_interval(lambda a, b: np.abs(a - b).max(), x, x) == (0, 0)

    def test_strata_keep_their_sizes(self):
        y = np.array([1] + [0] * 49)
        assert bootstrap_interval(np.sum, y, strata=y) == (1, 1)
        low, high = bootstrap_interval(np.sum, y)
        assert (low, high) == (0, 3)

    def test_a_statistic_without_a_value_is_named(self):
        y = np.array([1] + [0] * 9)
        with pytest.raises(ValueError, match="strata"):
            bootstrap_interval(lambda a: 1 / a.sum() if a.sum() else math.nan, y)

    @pytest.mark.parametrize("options", [{"resamples": 10}, {"confidence": 95}, {"confidence": 0}])
    def test_settings_are_checked(self, options):
        with pytest.raises(ValueError, match="need resamples"):
            bootstrap_interval(np.mean, np.arange(5.0), **options)

    def test_needs_examples(self):
        with pytest.raises(ValueError, match="at least one array"):
            bootstrap_interval(np.mean)
        with pytest.raises(ValueError, match="empty"):
            bootstrap_interval(np.mean, np.array([]))
        with pytest.raises(ValueError, match="lengths differ"):
            bootstrap_interval(np.mean, Y, Y[:3])


class TestCalibration:
    def test_a_case_by_hand(self):
        result = calibration_error(np.array([0, 1, 1, 1]), np.array([0.2, 0.4, 0.9, 0.7]), bins=2)
        assert result.count.tolist() == [2, 2]
        assert result.frequency.tolist() == [0.5, 1.0]
        assert result.error == pytest.approx(0.5 * 0.2 + 0.5 * 0.2)

    def test_the_edges_belong_to_the_first_and_the_last_bin(self):
        result = calibration_error(np.array([0, 1]), np.array([0.0, 1.0]), bins=10)
        assert result.error == 0
        assert result.count.tolist() == [1, 1]

    def test_honest_probabilities_have_a_small_error_and_boasting_a_large_one(self):
        rng = np.random.default_rng(0)
        p = rng.uniform(0, 1, 100_000)
        outcome = (rng.uniform(size=p.size) < p).astype(int)
        assert calibration_error(outcome, p).error < 0.01
        boasting = p**3 / (p**3 + (1 - p) ** 3)
        assert calibration_error(outcome, boasting).error > 0.1

    @given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=30), st.integers(1, 20))
    def test_is_between_the_bias_and_1(self, pairs, bins):
        outcome, p = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
        result = calibration_error(outcome, p, bins)
        assert abs(outcome.mean() - p.mean()) - 1e-9 <= result.error <= 1
        assert result.count.sum() == len(pairs)

    def test_all_right_is_allowed(self):
        assert calibration_error(np.ones(3), np.full(3, 0.75)).error == pytest.approx(0.25)

    @pytest.mark.parametrize("p", [[0.5, 1.1], [-0.1, 0.5]])
    def test_probabilities_lie_in_0_to_1(self, p):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            calibration_error(np.array([0, 1]), np.array(p))

    def test_needs_a_bin(self):
        with pytest.raises(ValueError, match="bins"):
            calibration_error(Y, SCORE, bins=0)


class TestCostThreshold:
    def test_a_case_by_hand(self):
        result = cost_threshold(Y, SCORE, false_alarm=1, miss=10)
        assert (result.threshold, result.false_alarms, result.misses, result.cost) == (0.4, 1, 0, 1)
        result = cost_threshold(Y, SCORE, false_alarm=10, miss=1)
        assert (result.threshold, result.false_alarms, result.misses, result.cost) == (0.8, 0, 1, 1)

    def test_may_call_nothing_positive(self):
        result = cost_threshold(np.array([1, 0, 0]), np.array([0.1, 0.5, 0.9]), false_alarm=5, miss=1)
        assert (result.threshold, result.cost) == (math.inf, 1)

    @given(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=2, max_size=25),
        st.floats(0.1, 10),
        st.floats(0.1, 10),
    )
    def test_no_threshold_is_cheaper(self, pairs, false_alarm, miss):
        y, score = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs], float)
        if len(set(y)) < 2:
            return
        best = cost_threshold(y, score, false_alarm=false_alarm, miss=miss)
        for t in [*range(-1, 8), math.inf]:
            called = score >= t
            assert best.cost <= false_alarm * np.sum(called & (y == 0)) + miss * np.sum(~called & (y == 1)) + 1e-9
        called = score >= best.threshold
        assert (np.sum(called & (y == 0)), np.sum(~called & (y == 1))) == (best.false_alarms, best.misses)

    @pytest.mark.parametrize(("false_alarm", "miss"), [(0, 1), (1, -1), (math.nan, 1), (1, math.inf)])
    def test_costs_are_positive(self, false_alarm, miss):
        with pytest.raises(ValueError, match="positive"):
            cost_threshold(Y, SCORE, false_alarm=false_alarm, miss=miss)

    def test_one_class_only_is_refused(self):
        with pytest.raises(ValueError, match="only the class 1"):
            cost_threshold(np.ones(5), SCORE, false_alarm=1, miss=1)


@pytest.mark.parametrize("function", [calibration_error, lambda y, s: cost_threshold(y, s, false_alarm=1, miss=1)])
@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([], [], "at least one entry"),
        ([0, 1], [0.5], "lengths differ"),
        ([0, 2], [0.5, 0.5], "the label 2"),
        ([0, -1], [0.5, 0.5], "the label -1"),
        ([0, 1], [0.5, math.nan], "NaN or infinity, first in row 1"),
        ([0, 0.5], [0.5, 0.5], "whole numbers"),
        (["a", "b"], [0.5, 0.5], "numbers"),
        ([[0], [1]], [0.5, 0.5], "dimension"),
    ],
)
def test_bad_input_is_one_clear_sentence(function, y, score, message):
    with pytest.raises(ValueError, match=message):
        function(np.array(y), np.array(score))
