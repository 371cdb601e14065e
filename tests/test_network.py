"""The reference network agrees with Keras, with numerical derivatives, and refuses what it cannot use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import gradients, optimisers
from helpers.network import ACTIVATIONS, OUTPUTS, Network, sigmoid, softmax

HIDDEN = sorted(set(ACTIVATIONS) - {"linear"})


@st.composite
def cases(draw):
    """A random network, and a batch that fits it."""
    loss = draw(st.sampled_from(sorted(OUTPUTS)))
    outputs = draw(st.integers(2 if loss == "categorical_crossentropy" else 1, 6))
    hidden = draw(st.lists(st.integers(1, 9), max_size=3))
    activations = [draw(st.sampled_from(HIDDEN)) for _ in hidden] + [draw(st.sampled_from(OUTPUTS[loss]))]
    seed, n = draw(st.integers(0, 10_000)), draw(st.integers(1, 40))
    network = Network((draw(st.integers(1, 8)), *hidden, outputs), activations, loss, seed=seed, dtype="float64")
    rng = np.random.default_rng(seed)
    network.vector += 0.3 * rng.normal(size=network.vector.size)  # biases away from zero as well
    x = rng.normal(size=(n, network.sizes[0]))
    if loss == "categorical_crossentropy":
        y = rng.integers(0, outputs, n)
    elif loss == "binary_crossentropy":
        y = rng.integers(0, 2, (n, outputs)).astype(float)
    else:
        y = rng.normal(size=(n, outputs))
    return network, x, y


def targets(network, y):
    return np.eye(network.sizes[-1])[y] if y.ndim == 1 else y


def loss_of(network, x, y):
    """The loss as a function of all parameters, also for complex ones: the network with its vector exchanged."""
    twin = Network(network.sizes, network.activations, network.loss_name, dtype="float64")
    y = targets(network, y)

    def f(vector):
        twin.parameters = twin._views(vector)
        z = twin._forward(x)[1]
        return twin._loss.value(z, twin._output(z), y)

    return f


@settings(deadline=None, max_examples=60)
@given(cases())
def test_gradients_agree_with_complex_step(case):
    network, x, y = case
    _, parts = network.gradients(x, y)
    by_hand = np.concatenate([p.ravel() for p in parts])
    numerical = gradients.complex_step(loss_of(network, x, y), network.vector)
    np.testing.assert_allclose(by_hand, numerical, rtol=1e-10, atol=1e-13)


@settings(deadline=None, max_examples=20)
@given(cases().filter(lambda c: "relu" not in c[0].activations))
def test_gradients_agree_with_central_differences(case):
    network, x, y = case
    _, parts = network.gradients(x, y)
    by_hand = np.concatenate([p.ravel() for p in parts])
    numerical = gradients.central_differences(lambda w: loss_of(network, x, y)(w), network.vector)
    np.testing.assert_allclose(by_hand, numerical, rtol=1e-6, atol=1e-8)


@pytest.fixture(scope="module")
def keras():
    from helpers.session import load_keras

    return load_keras(0)


def twin_in_keras(keras, network):
    """The same architecture, weights and loss in Keras, in float64."""
    layers = [keras.Input((network.sizes[0],), dtype="float64")]
    for width, name in zip(network.sizes[1:], network.activations, strict=True):
        layers.append(keras.layers.Dense(width, activation=name, dtype="float64"))
    model = keras.Sequential(layers)
    model.set_weights(network.parameters)
    loss = {
        "mean_squared_error": keras.losses.MeanSquaredError(),
        "binary_crossentropy": keras.losses.BinaryCrossentropy(),
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy(),
    }[network.loss_name]
    return model, loss


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_outputs_losses_and_gradients_agree_with_keras(keras, case):
    import tensorflow as tf

    network, x, y = case
    model, loss = twin_in_keras(keras, network)
    with tf.GradientTape() as tape:
        output = model(x)
        value = loss(tf.constant(targets(network, y)), output)
    np.testing.assert_allclose(network.predict(x), output, rtol=1e-9, atol=1e-12)
    ours, parts = network.gradients(x, y)
    # Keras clips probabilities 1e-7 away from 0 and 1, and computes some losses in float32.
    np.testing.assert_allclose(ours, float(value), rtol=2e-6, atol=1e-6)
    assert network.loss(x, y) == ours
    for part, theirs in zip(parts, tape.gradient(value, model.trainable_variables), strict=True):
        np.testing.assert_allclose(part, np.zeros_like(part) if theirs is None else theirs, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (optimisers.sgd(0.05), lambda k: k.SGD(0.05)),
        (optimisers.momentum(0.05, 0.8), lambda k: k.SGD(0.05, momentum=0.8)),
        (optimisers.rmsprop(0.01, 0.85), lambda k: k.RMSprop(0.01, rho=0.85)),
        (optimisers.adam(0.01, 0.8, 0.95), lambda k: k.Adam(0.01, beta_1=0.8, beta_2=0.95)),
    ],
    ids=lambda o: getattr(o, "name", ""),
)
@pytest.mark.parametrize("size", [3, 40_000])
def test_optimisers_agree_with_keras_for_20_steps(keras, ours, theirs, size):
    rng = np.random.default_rng(size)
    w = rng.normal(size=size).astype("float32")
    variable, optimiser, state = keras.Variable(w), theirs(keras.optimizers), ours.init(w)
    for _ in range(20):
        g = rng.normal(size=size).astype("float32")
        ours.update(w, g, state)
        optimiser.apply([keras.ops.convert_to_tensor(g)], [variable])
    np.testing.assert_allclose(w, np.asarray(variable), rtol=2e-5, atol=2e-6)


def test_training_agrees_with_keras_step_by_step(keras):
    """Same start, same order of examples, Adam: the losses of the epochs and the final weights agree."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(203, 5)).astype("float32")  # the last batch has 11 examples
    y = (x[:, 0] * x[:, 1] > 0).astype(int) + (x[:, 2] > 1)
    network = Network((5, 16, 3), ("relu", "softmax"), "categorical_crossentropy", seed=1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)])
    model.set_weights(network.parameters)
    model.compile(keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, y, batch_size=32, epochs=3, shuffle=False, verbose=0).history["loss"]
    ours = network.fit(x, y, optimisers.adam(), epochs=3, batch_size=32, shuffle=False)
    np.testing.assert_allclose(ours, history, rtol=1e-5)
    for own, theirs in zip(network.parameters, model.get_weights(), strict=True):
        np.testing.assert_allclose(own, theirs, atol=2e-5)


def test_every_example_is_visited_once_in_each_epoch():
    seen = []
    network = Network((1, 1), ("linear",), "mean_squared_error")
    network._backward = lambda x, y, out: seen.append(x.ravel().copy()) or np.float32(0)
    still = optimisers.Optimiser("still", lambda w: {}, lambda w, g, s: None)
    network.fit(np.arange(10.0)[:, None], np.zeros((10, 1)), still, epochs=2, batch_size=4)
    assert [len(b) for b in seen] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)


@settings(deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6))
def test_softmax_and_sigmoid_are_probabilities_for_any_input(values):
    z = np.array(values)
    with np.errstate(all="raise", under="ignore"):
        p, s = softmax(z), sigmoid(z)
    assert p.sum() == pytest.approx(1)
    assert np.all((p >= 0) & (p <= 1))
    assert np.all((s >= 0) & (s <= 1))
    np.testing.assert_allclose(softmax(z + 100.0), p, atol=1e-9)
    np.testing.assert_allclose(sigmoid(-z), 1 - s, atol=1e-12)


@pytest.mark.parametrize("loss", ["binary_crossentropy", "categorical_crossentropy"])
def test_losses_stay_finite_where_the_textbook_formula_overflows(loss):
    network = Network((1, 2), (OUTPUTS[loss][0],), loss, dtype="float64")
    network.set_parameters([np.array([[1.0, -1.0]]), np.zeros(2)])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        wrong, parts = network.gradients(np.array([[1000.0]]), np.array([[0.0, 1.0]]))
    assert wrong == pytest.approx(1000 if loss == "binary_crossentropy" else 2000)
    assert all(np.all(np.isfinite(p)) for p in parts)


IMAGES = np.zeros((4, 3), "float32")
LABELS = np.array([0, 1, 2, 1])


def classifier():
    return Network((3, 4, 3), ("relu", "softmax"), "categorical_crossentropy")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((4, 5)), LABELS, r"shape \(4, 5\), the network expects \(n, 3\)"),
        (np.zeros((4, 3, 1)), LABELS, r"reshape with x.reshape\(len\(x\), -1\)"),
        (np.full((4, 3), 255, "uint8"), LABELS, r"uint8 numbers up to 255; scale it first"),
        (IMAGES[:0], LABELS[:0], "the batch is empty"),
        (np.where(np.arange(12).reshape(4, 3) == 7, np.nan, 0), LABELS, "x holds NaN or infinity, first in row 2"),
        (np.where(np.arange(12).reshape(4, 3) == 7, np.inf, 0), LABELS, "x holds NaN or infinity, first in row 2"),
        (IMAGES, LABELS[:3], "x holds 4 examples, y holds 3 labels"),
        (IMAGES, LABELS + 1, "label 3 is out of range: with 3 outputs labels go from 0 to 2"),
        (IMAGES, LABELS - 1, "label -1 is out of range"),
        (IMAGES, np.ones((4, 3)), r"each row of y must sum to 1, row 0 sums to 3"),
        (IMAGES, np.full((4, 3), 1.5), r"targets of a cross-entropy lie in \[0, 1\], got 1.5 to 1.5"),
        (IMAGES, np.zeros((4, 2)), r"y has shape \(4, 2\), the network expects \(4, 3\) or integer labels of shape \(4,\)"),
        (IMAGES, np.full((4, 3), np.nan), "y holds NaN or infinity, first in row 0"),
    ],
)  # fmt: skip
def test_bad_batches_are_refused_with_the_value_and_the_remedy(x, y, message):
    network = classifier()
    before = network.vector.copy()
    for call in (network.gradients, network.loss, lambda x, y: network.fit(x, y, optimisers.adam(), epochs=1)):
        with pytest.raises(ValueError, match=message):
            call(x, y)
    assert np.array_equal(network.vector, before)


@pytest.mark.parametrize(
    ("sizes", "activations", "loss", "message"),
    [
        ((3,), (), "mean_squared_error", "at least two whole numbers"),
        ((3, 0), ("linear",), "mean_squared_error", "at least 1, got"),
        ((3, 2, 1), ("relu",), "mean_squared_error", "2 layers need as many activations"),
        ((3, 2), ("softmax",), "hinge", "unknown loss 'hinge'"),
        ((3, 2, 1), ("gelu", "sigmoid"), "binary_crossentropy", "unknown activation 'gelu'"),
        ((3, 2), ("relu",), "categorical_crossentropy", "needs a last layer softmax, got 'relu'"),
        ((3, 2), ("softmax",), "binary_crossentropy", "needs a last layer sigmoid, got 'softmax'"),
    ],
)
def test_impossible_architectures_are_refused(sizes, activations, loss, message):
    with pytest.raises(ValueError, match=message):
        Network(sizes, activations, loss)


@pytest.mark.parametrize("rate", [0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("make", [optimisers.sgd, optimisers.momentum, optimisers.rmsprop, optimisers.adam])
def test_learning_rate_must_be_positive(make, rate):
    with pytest.raises(ValueError, match=f"learning_rate must be a positive number, got {rate}"):
        make(rate)


def test_optimiser_arguments_and_shapes_are_checked():
    with pytest.raises(ValueError, match=r"beta_2 must lie in \[0, 1\), got 1"):
        optimisers.adam(beta_2=1)
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\), got -0.5"):
        optimisers.momentum(0.1, -0.5)
    w = np.zeros(3)
    with pytest.raises(ValueError, match="shapes differ"):
        optimisers.sgd(0.1).update(w, np.zeros(2), optimisers.sgd(0.1).init(w))
    with pytest.raises(ValueError, match="floating-point numbers, got int64"):
        optimisers.sgd(0.1).init(np.zeros(3, dtype="int64"))


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("batch_size", 0), ("batch_size", 2.5)])
def test_fit_needs_whole_positive_numbers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, got {value}"):
        classifier().fit(IMAGES, LABELS, optimisers.adam(), **{"epochs": 1, name: value})


def test_a_training_that_diverges_says_so_and_restores_the_parameters():
    rng = np.random.default_rng(0)
    network = Network((3, 2), ("linear",), "mean_squared_error")
    before = network.vector.copy()
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"epoch \d+; lower the learning rate"):
        network.fit(rng.normal(size=(50, 3)), rng.normal(size=(50, 2)), optimisers.sgd(50.0), epochs=40)
    assert np.array_equal(network.vector, before)


def test_parameters_are_taken_whole_or_not_at_all():
    network = classifier()
    before = network.vector.copy()
    shapes = [p.shape for p in network.parameters]
    with pytest.raises(ValueError, match="parameters of shapes"):
        network.set_parameters([np.ones(s[::-1]) for s in shapes])
    with pytest.raises(ValueError, match="NaN or infinity"):
        network.set_parameters([*[np.ones(s) for s in shapes[:-1]], np.full(shapes[-1], np.nan)])
    assert np.array_equal(network.vector, before)
    network.set_parameters([np.full(s, k) for k, s in enumerate(shapes)])
    assert [p.flat[0] for p in network.parameters] == [0, 1, 2, 3]
    assert network.vector[0] == 0
    assert network.vector[-1] == 3


def test_numerical_derivatives_know_what_they_cannot_do():
    with pytest.raises(ValueError, match="must be float64, got float32"):
        gradients.central_differences(np.sum, np.ones(2, "float32"))
    with pytest.raises(ValueError, match="returned a real number"):
        gradients.complex_step(lambda w: float(np.abs(w).sum()), np.ones(2))
    with pytest.raises(ValueError, match="zero everywhere"):
        gradients.relative_error(np.ones(2), np.zeros(2))
    with pytest.raises(ValueError, match="cannot be compared"):
        gradients.relative_error(np.ones(2), np.ones(3))


def test_numerical_derivatives_of_a_known_function():
    w = np.array([[0.3, -1.2], [2.0, 0.0]])
    exact = np.exp(w) * np.cos(w) - np.exp(w) * np.sin(w)
    assert (
        gradients.relative_error(gradients.central_differences(lambda v: (np.exp(v) * np.cos(v)).sum(), w), exact)
        < 1e-9
    )
    assert gradients.relative_error(gradients.complex_step(lambda v: (np.exp(v) * np.cos(v)).sum(), w), exact) < 1e-15


def test_the_first_weights_are_glorot_uniform_and_repeat_with_the_seed():
    one, again, other = (
        Network((300, 200, 4), ("relu", "softmax"), "categorical_crossentropy", seed=s) for s in (0, 0, 1)
    )
    weights, bias = one.parameters[:2]
    limit = np.sqrt(6 / 500)
    assert 0.99 * limit < np.abs(weights).max() <= limit
    assert weights.std() == pytest.approx(limit / np.sqrt(3), rel=0.01)
    assert not bias.any()
    assert np.array_equal(one.vector, again.vector)
    assert not np.array_equal(one.vector, other.vector)
