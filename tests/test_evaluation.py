"""The test set opens once, and the intervals are the textbook's."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from helpers.evaluation import TestSet, TestSetOpened, spread, wilson_interval

X, Y = np.zeros((3, 2)), np.array([0, 1, 1])


class TestTheTestSet:
    def test_hands_out_the_arrays_and_says_what_for(self, capsys):
        x, y = TestSet(X, Y, name="demo test set").open("the final comparison")
        assert x is X
        assert y is Y
        assert capsys.readouterr().out == "Opened once: demo test set, 3 examples, for: the final comparison.\n"

    def test_a_second_opening_is_an_error_that_names_the_first(self):
        test_set = TestSet(X, Y)
        test_set.open("the final comparison")
        with pytest.raises(TestSetOpened, match="the final comparison"):
            test_set.open("one more look")

    def test_an_opening_without_a_purpose_is_refused_and_does_not_count(self):
        test_set = TestSet(X, Y)
        with pytest.raises(ValueError, match="what"):
            test_set.open("  ")
        assert test_set.opened_for is None
        test_set.open("the final comparison")

    def test_says_its_size_and_state_without_being_opened(self):
        test_set = TestSet(X, Y, name="demo")
        assert len(test_set) == 3
        assert "closed" in repr(test_set)
        test_set.open("the end")
        assert len(test_set) == 3
        assert "the end" in repr(test_set)

    @pytest.mark.parametrize(("x", "y"), [(X, Y[:2]), (X[:2], Y), (X[:0], Y[:0])])
    def test_inputs_and_labels_must_be_as_many(self, x, y):
        with pytest.raises(ValueError, match="one length"):
            TestSet(x, y)


class TestWilsonInterval:
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [
            (455, 500, 0.8817, 0.9321),
            (15, 20, 0.5313, 0.8881),  # Newcombe 1998 tabulates such cases
            (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0000, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ],
    )
    def test_gives_known_values(self, successes, n, low, high):
        assert wilson_interval(successes, n) == pytest.approx((low, high), abs=6e-5)

    def test_ends_exactly_at_0_and_1(self):
        assert wilson_interval(0, 10)[0] == 0.0
        assert wilson_interval(10, 10)[1] == 1.0
        assert 0 < wilson_interval(10, 10)[0] < 1

    @given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
    def test_contains_the_proportion_and_agrees_with_scipy(self, case, confidence):
        successes, n = case
        low, high = wilson_interval(successes, n, confidence)
        assert 0 <= low <= successes / n <= high <= 1
        assert low < high
        other = binomtest(successes, n).proportion_ci(confidence, method="wilson")
        assert (low, high) == pytest.approx((other.low, other.high), abs=1e-9)

    @pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5), (1, -1)])
    def test_impossible_counts_are_refused(self, successes, n):
        with pytest.raises(ValueError, match="successes"):
            wilson_interval(successes, n)

    @pytest.mark.parametrize("confidence", [0, 1, 95, -0.5, math.nan])
    def test_a_confidence_outside_0_and_1_is_refused(self, confidence):
        with pytest.raises(ValueError, match="confidence"):
            wilson_interval(1, 2, confidence)


class TestSpread:
    @given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
    def test_agrees_with_the_standard_library(self, values):
        result = spread(values)
        assert result.mean == pytest.approx(statistics.fmean(values), abs=1e-6)
        assert result.std == pytest.approx(statistics.stdev(values), rel=1e-6, abs=1e-6)
        assert result.values == tuple(values)

    def test_reads_well(self):
        assert str(spread([0.97, 0.98, 0.99])) == "0.9800 ± 0.0100 (3 seeds)"

    @pytest.mark.parametrize("values", [[], [0.5]])
    def test_one_seed_has_no_spread(self, values):
        with pytest.raises(ValueError, match="two seeds"):
            spread(values)

    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
    def test_results_must_be_finite(self, odd):
        with pytest.raises(ValueError, match="finite"):
            spread([0.5, odd])
