"""The mechanisms keep their promise, the accountant gives the library's numbers, and bad input is refused by name."""

from __future__ import annotations

import math

import dp_accounting
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from helpers import privacy

EPSILONS = st.floats(0.05, 10)
DELTAS = st.floats(1e-9, 0.1)


class TestLaplace:
    def test_scale_is_sensitivity_over_epsilon(self):
        noise = privacy.laplace_mechanism(np.zeros(200_000), 3, 0.5, np.random.default_rng(0))
        assert noise.std() == pytest.approx(math.sqrt(2) * 6, rel=0.02)  # the variance of Laplace is 2 scale^2
        assert abs(noise.mean()) < 0.1

    def test_measured_ratio_never_exceeds_epsilon_and_reaches_it(self):
        rng = np.random.default_rng(1)
        here, gone = (privacy.laplace_mechanism(np.full(200_000, v), 1, 0.7, rng) for v in (5.0, 4.0))
        ratios = [np.log(np.mean(here > cut) / np.mean(gone > cut)) for cut in np.arange(2, 9, 0.5)]
        assert max(ratios) == pytest.approx(0.7, abs=0.05)

    def test_a_number_stays_a_number_and_an_array_keeps_its_shape(self):
        rng = np.random.default_rng(0)
        assert isinstance(privacy.laplace_mechanism(10, 1, 1, rng), float)
        assert privacy.laplace_mechanism(np.ones((2, 3), int), 1, 1, rng).shape == (2, 3)

    def test_the_input_is_not_changed(self):
        counts = np.ones(4)
        privacy.laplace_mechanism(counts, 1, 1, np.random.default_rng(0))
        assert counts.tolist() == [1, 1, 1, 1]


class TestGaussian:
    @given(EPSILONS, st.floats(0.3, 20))
    def test_delta_is_the_formula_with_the_normal_distribution(self, epsilon, sigma):
        direct = norm.cdf(0.5 / sigma - epsilon * sigma) - math.exp(epsilon) * norm.cdf(-0.5 / sigma - epsilon * sigma)
        assert privacy.gaussian_delta(epsilon, sigma) == pytest.approx(direct, rel=1e-6, abs=1e-14)

    @given(EPSILONS, DELTAS, st.floats(0.01, 100))
    def test_sigma_meets_delta_exactly_and_grows_with_the_sensitivity(self, epsilon, delta, sensitivity):
        sigma = privacy.gaussian_sigma(epsilon, delta, sensitivity)
        assert privacy.gaussian_delta(epsilon, sigma, sensitivity) == pytest.approx(delta, rel=1e-6)
        assert sigma == pytest.approx(sensitivity * privacy.gaussian_sigma(epsilon, delta), rel=1e-6)

    @pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
    def test_sigma_is_that_of_dp_accounting(self, epsilon):
        assert privacy.gaussian_sigma(epsilon, 1e-6) == pytest.approx(
            dp_accounting.get_sigma_gaussian(epsilon, 1e-6), rel=1e-6
        )

    def test_noise_has_that_sigma(self):
        noise = privacy.gaussian_mechanism(np.zeros(100_000), 2, 1, 1e-5, np.random.default_rng(0))
        assert noise.std() == pytest.approx(privacy.gaussian_sigma(1, 1e-5, 2), rel=0.02)

    def test_a_huge_epsilon_does_not_overflow(self):
        assert privacy.gaussian_delta(2000, 0.01) >= 0


class TestAccountant:
    @pytest.mark.parametrize(
        ("rate", "noise", "steps"), [(0.01, 1.1, 1000), (0.1, 2, 200), (0.5, 8, 50), (1, 30, 10), (0.0, 1, 10)]
    )
    def test_epsilon_is_that_of_dp_accounting(self, rate, noise, steps):
        accountant = dp_accounting.rdp.RdpAccountant(list(privacy.ORDERS))
        event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
        expected = accountant.compose(event, steps).get_epsilon(1e-5)
        assert privacy.dp_sgd_epsilon(rate, noise, steps, 1e-5) == pytest.approx(expected, rel=1e-9, abs=1e-12)

    def test_everybody_in_every_step_is_the_plain_gaussian(self):
        assert privacy.rdp_of_sampled_gaussian(1, 2.0, [2, 8]) == pytest.approx([2 / 8, 8 / 8])

    def test_order_two_is_the_sum_of_three_terms_by_hand(self):
        q, s = 0.3, 1.5
        by_hand = math.log((1 - q) ** 2 + 2 * q * (1 - q) + q * q * math.exp(1 / s**2))
        assert privacy.rdp_of_sampled_gaussian(q, s, [2])[0] == pytest.approx(by_hand)

    @settings(max_examples=15)  # each one computes four accounts
    @given(st.floats(0.001, 0.99), st.floats(0.5, 20), st.integers(1, 500))
    def test_more_noise_fewer_steps_and_rarer_sampling_never_cost_more(self, rate, noise, steps):
        here = privacy.dp_sgd_epsilon(rate, noise, steps, 1e-5)
        slack = 1e-9 + 1e-9 * here
        assert privacy.dp_sgd_epsilon(rate, noise * 1.1, steps, 1e-5) <= here + slack
        assert privacy.dp_sgd_epsilon(rate, noise, steps + 1, 1e-5) >= here - slack
        assert privacy.dp_sgd_epsilon(rate * 0.9, noise, steps, 1e-5) <= here + slack


BAD_NUMBERS = [0, -1, math.nan, math.inf]


@pytest.mark.parametrize("bad", BAD_NUMBERS)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("sensitivity", lambda v: privacy.laplace_mechanism(1, v, 1, np.random.default_rng(0))),
        ("epsilon", lambda v: privacy.laplace_mechanism(1, 1, v, np.random.default_rng(0))),
        ("sensitivity", lambda v: privacy.gaussian_mechanism(1, v, 1, 1e-5, np.random.default_rng(0))),
        ("epsilon", lambda v: privacy.gaussian_mechanism(1, 1, v, 1e-5, np.random.default_rng(0))),
        ("sigma", lambda v: privacy.gaussian_delta(1, v)),
        ("noise", lambda v: privacy.rdp_of_sampled_gaussian(0.1, v)),
    ],
)
def test_what_must_be_positive_is_named_with_its_value(name, call, bad):
    with pytest.raises(ValueError, match=f"{name} must be positive and finite, got {bad}"):
        call(bad)


@pytest.mark.parametrize("delta", [0, 1, -0.1, 2, math.nan])
def test_delta_outside_of_0_to_1_is_refused(delta):
    for call in (lambda: privacy.gaussian_sigma(1, delta), lambda: privacy.dp_sgd_epsilon(0.1, 1, 10, delta)):
        with pytest.raises(ValueError, match="delta must lie between 0 and 1, exclusive"):
            call()


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_a_sampling_rate_outside_of_0_to_1_is_refused(rate):
    with pytest.raises(ValueError, match="rate must lie between 0 and 1, got"):
        privacy.dp_sgd_epsilon(rate, 1, 10, 1e-5)


@pytest.mark.parametrize(
    ("value", "message"),
    [([], "empty"), ([1, math.nan], "must be finite, got nan"), (math.inf, "must be finite, got inf")],
)
def test_an_answer_that_is_empty_or_not_finite_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        privacy.laplace_mechanism(np.array(value), 1, 1, np.random.default_rng(0))


@pytest.mark.parametrize("orders", [[], [1], [2.5], [0]])
def test_orders_that_the_formula_does_not_hold_for_are_refused(orders):
    with pytest.raises(ValueError, match="orders must be whole numbers of at least 2"):
        privacy.rdp_of_sampled_gaussian(0.1, 1, orders)


@pytest.mark.parametrize("steps", [0, -3, 1.5])
def test_steps_must_be_a_whole_number(steps):
    with pytest.raises(ValueError, match="steps must be a whole number"):
        privacy.dp_sgd_epsilon(0.1, 1, steps, 1e-5)


def test_divergences_that_do_not_fit_their_orders_are_refused():
    for rdp, orders in (([0.1, 0.2], [2]), ([], []), ([-0.1], [2]), ([math.nan], [2]), ([0.1], [1])):
        with pytest.raises(ValueError, match="rdp needs one value"):
            privacy.epsilon_from_rdp(np.array(rdp), orders, 1e-5)
