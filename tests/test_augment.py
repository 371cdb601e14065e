"""The composed warp against ImageDataGenerator, against the chain of Keras layers, and against plain geometry."""

import keras
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import augment
from helpers.batches import ImageBatches

SIZE = 48


def smooth_picture(size=SIZE, seed=0):
    """A picture without sharp edges, so that several resamplings differ little from one."""
    noise = np.random.default_rng(seed).uniform(0, 255, (size, size, 3))
    return scipy.ndimage.gaussian_filter(noise, (4, 4, 0), mode="nearest").astype("float32")


def warped(image, **parameters):
    transforms = augment.matrices(*image.shape[:2], **parameters)
    return keras.ops.convert_to_numpy(augment.warp(image[None], transforms))[0]


@pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")  # raised inside Keras
@given(
    theta=st.floats(-180, 180),
    tx=st.floats(-20, 20),
    ty=st.floats(-20, 20),
    shear=st.floats(-45, 45),
    zx=st.floats(0.5, 1.5),
    zy=st.floats(0.5, 1.5),
    flip=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_it_is_what_the_image_data_generator_does(theta, tx, ty, shear, zx, zy, flip):
    tensorflow = pytest.importorskip("tensorflow")
    generator = tensorflow.keras.preprocessing.image.ImageDataGenerator(fill_mode="nearest")
    image = smooth_picture()
    theirs = generator.apply_transform(
        image, {"theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy, "flip_horizontal": flip}
    )
    ours = warped(
        image, rotation=theta, shift_x=tx / SIZE, shift_y=ty / SIZE, shear=shear, zoom_x=zx, zoom_y=zy, flip=flip
    )
    assert np.abs(ours - theirs).max() < 0.01  # of 255


def chain(image, layers):
    batch = image[None]
    for layer in layers:
        batch = layer(batch, training=True)
    return keras.ops.convert_to_numpy(batch)[0]


def keras_layers(rotation=0.0, shift_x=0.0, shift_y=0.0, zoom_x=1.0, zoom_y=1.0):
    """The same transforms with the layers of Keras, in the order in which they undo our product."""
    nearest = {"fill_mode": "nearest", "interpolation": "bilinear"}
    layers = []
    if zoom_x != 1 or zoom_y != 1:
        layers.append(keras.layers.RandomZoom((zoom_y - 1,) * 2, (zoom_x - 1,) * 2, **nearest))
    if shift_x or shift_y:
        layers.append(keras.layers.RandomTranslation((-shift_y,) * 2, (-shift_x,) * 2, **nearest))
    if rotation:
        layers.append(keras.layers.RandomRotation((rotation / 360,) * 2, **nearest))
    return layers


@pytest.mark.parametrize(
    "parameters",
    [
        {"rotation": 25.0},
        {"rotation": -40.0},
        {"shift_x": 0.125},
        {"shift_y": -0.125},
        {"zoom_x": 0.8, "zoom_y": 0.8},
        {"zoom_x": 1.2, "zoom_y": 0.9},
    ],
    ids=str,
)
def test_one_transform_equals_the_layer_of_keras(parameters):
    image = smooth_picture()
    theirs, ours = chain(image, keras_layers(**parameters)), warped(image, **parameters)
    inside = (slice(4, -4), slice(4, -4))
    assert np.abs(ours[inside] - theirs[inside]).max() < 0.75  # of 255: layers place the centre half a pixel apart
    assert np.abs(image[inside] - theirs[inside]).max() > 5  # the transform does something


def test_the_product_equals_the_chain_of_layers_up_to_resampling():
    image = smooth_picture(96)
    parameters = {"rotation": 20.0, "shift_x": 0.05, "shift_y": -0.04, "zoom_x": 0.9, "zoom_y": 1.1}
    theirs, ours = chain(image, keras_layers(**parameters)[::-1]), warped(image, **parameters)
    inside = (slice(24, -24), slice(24, -24))
    difference = np.abs(ours[inside] - theirs[inside])
    assert difference.mean() < 1.0
    assert np.abs(image[inside] - theirs[inside]).mean() > 5 * difference.mean()


def test_the_chain_blurs_and_the_product_does_not():
    stripes = np.tile(np.array([0.0, 255.0], "float32"), (SIZE, SIZE // 2))[..., None].repeat(3, axis=2)
    there_and_back = [0.01, -0.01]
    chained = stripes
    for shift in there_and_back * 2:
        chained = warped(chained, shift_x=shift)
    once = warped(stripes, shift_x=sum(there_and_back * 2))
    assert once.std() == pytest.approx(stripes.std())
    assert chained.std() < 0.7 * stripes.std()


def test_whole_pixels_and_quarter_turns_are_exact():
    image = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3)).astype("float32")
    assert np.allclose(warped(image), image)
    assert np.allclose(warped(image, flip=True), image[:, ::-1])
    assert np.allclose(warped(image, rotation=90.0), np.rot90(image), atol=0.05)
    moved = warped(image, shift_x=3 / SIZE)  # output pixel x shows input pixel x + 3
    assert np.allclose(moved[:, : SIZE - 3], image[:, 3:], atol=0.05)
    assert np.allclose(moved[:, SIZE - 3 :], image[:, -1:], atol=0.05)  # outside: the nearest edge pixel


def test_a_zoom_above_one_shows_more_of_the_scene():
    disc = np.hypot(*np.mgrid[-24:24, -24:24]) < 10
    image = np.where(disc, 255.0, 0.0).astype("float32")[..., None]
    small, large = warped(image, zoom_x=1.25, zoom_y=1.25), warped(image, zoom_x=0.8, zoom_y=0.8)
    assert small.sum() / image.sum() == pytest.approx(1 / 1.25**2, rel=0.05)
    assert large.sum() / image.sum() == pytest.approx(1 / 0.8**2, rel=0.05)


def test_shear_range_of_the_article_moves_a_fifth_of_a_pixel():
    """W12 of the audit: 0.2 degrees at 150 pixels."""
    corner = np.array([149.0, 149.0, 1.0])
    rows = augment.matrices(150, 150, shear=0.2)[0, :6].reshape(2, 3)
    assert np.abs(rows @ corner - corner[:2]).max() == pytest.approx(74.5 * np.sin(np.deg2rad(0.2)), rel=1e-3)


def test_pictures_of_other_than_square_shape_turn_about_their_centre():
    image = np.zeros((21, 41, 1), "float32")
    image[10, 20] = 1
    turned = warped(image, rotation=77.0, zoom_x=0.7, flip=True)
    assert np.unravel_index(turned.argmax(), turned.shape)[:2] == (10, 20)
    assert warped(image, shift_x=0.25, shift_y=0.0)[10, 9:12].sum() == pytest.approx(1)  # a quarter of 41 columns


@given(seed=st.integers(0, 2**31), count=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_drawn_parameters_stay_in_their_ranges(seed, count):
    drawn = augment.draw(augment.ARTICLE, count, np.random.default_rng(seed))
    limits = {"rotation": 40, "shift_x": 0.2, "shift_y": 0.2, "shear": 0.2}
    assert all(np.abs(drawn[name]).max() <= limit and drawn[name].shape == (count,) for name, limit in limits.items())
    assert all(drawn[name].min() >= 0.8 and drawn[name].max() <= 1.2 for name in ("zoom_x", "zoom_y"))


def test_drawn_parameters_fill_their_ranges_independently():
    drawn = augment.draw(augment.ARTICLE, 5000, np.random.default_rng(0))
    assert np.ptp(drawn["rotation"]) > 79
    assert np.ptp(drawn["zoom_x"]) > 0.39
    assert np.ptp(drawn["shift_y"]) > 0.39
    assert drawn["flip"].mean() == pytest.approx(0.5, abs=0.03)
    correlation = np.corrcoef(np.stack([v.astype(float) for v in drawn.values()]))
    assert np.abs(correlation - np.eye(len(drawn))).max() < 0.06


def test_no_ranges_no_change():
    drawn = augment.draw(augment.Ranges(), 7, np.random.default_rng(3))
    assert np.allclose(augment.matrices(9, 9, **drawn)[:, :6], [1, 0, 0, 0, 1, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"zoom": 1.0}, "zoom must be below 1"),
        ({"rotation": -5}, "rotation must be zero or a positive number, got -5"),
        ({"width_shift": float("nan")}, "width_shift must be zero or a positive number, got nan"),
        ({"shear": 90}, "shear must be below 90 degrees"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(ranges, message):
    with pytest.raises(ValueError, match=message):
        augment.Ranges(**ranges)


def batches(**changes):
    images = np.random.default_rng(0).integers(0, 256, (37, 12, 12, 3), dtype=np.uint8)
    settings = {"batch_size": 8, "seed": 5, "ranges": augment.ARTICLE} | changes
    return ImageBatches(images, np.arange(37), **settings)


def test_an_epoch_shows_every_picture_once():
    data = batches(ranges=None)
    labels = np.concatenate([data[i][1] for i in range(len(data))])
    assert len(data) == 5
    assert len(data[4][0]) == 5
    assert labels.shape == (37, 1)
    assert sorted(labels[:, 0]) == list(range(37))
    x, y = data[2]
    assert np.array_equal(x, data.images[y[:, 0].astype(int)])


def test_a_batch_depends_on_seed_epoch_and_place_only():
    first, second = batches(), batches()
    for i in (3, 0, 4):  # another order of asking, other batches before
        second[i]
    second.epoch = 1
    second[2]
    second.epoch = 0
    assert all(np.array_equal(a, b) for a, b in zip(first[2], second[2], strict=True))
    second.epoch = 1
    assert not np.array_equal(first[2][1], second[2][1])
    assert not np.array_equal(first[2][1], batches(seed=6)[2][1])


def test_with_and_without_augmentation_the_order_is_the_same():
    assert np.array_equal(batches()[1][1], batches(ranges=None)[1][1])
    assert not np.array_equal(batches()[1][0], batches(ranges=None)[1][0])


def asked(**arguments):
    """Which (epoch, batch) ``fit`` asks for, without the two batches by which it first learns shapes and dtypes."""
    seen = []

    class Watched(ImageBatches):
        def __getitem__(self, batch):
            seen.append((self.epoch, batch))
            return super().__getitem__(batch)

    data = batches(ranges=None)
    watched = Watched(data.images, data.labels, batch_size=8, seed=5)
    model = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(watched, epochs=5, initial_epoch=3, callbacks=[watched.follow()], verbose=0, **arguments)
    return seen[-10:]


def test_fit_tells_the_data_its_epoch_and_asks_in_order():
    assert asked(shuffle=False) == [(epoch, batch) for epoch in (3, 4) for batch in range(5)]


def test_fit_shuffles_the_batches_once_more_unless_told_not_to():
    """The reason for ``shuffle=False`` in the documentation of the class; 1 in 120 ** 2 orders is the sorted one."""
    keras.utils.set_random_seed(0)
    assert asked() != asked(shuffle=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 8, 8, 3)), np.zeros(2)), "3 images and 2 labels"),
        ((np.zeros((0, 8, 8, 3)), np.zeros(0)), "at least one"),
    ],
)
def test_images_without_labels_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageBatches(*arguments, batch_size=4, seed=0)


def test_batch_size_and_batch_number_are_checked():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        batches(batch_size=0)
    with pytest.raises(IndexError, match="5 batches, numbered from 0; asked for 5"):
        batches()[5]
