"""Mini-batches of images, augmented or not, whose content depends on (seed, epoch, batch) only.

Import this module after Keras (:func:`helpers.session.load_keras`): it builds on ``keras.utils.PyDataset``.
"""

from __future__ import annotations

import keras
import numpy as np

from helpers import augment


class ImageBatches(keras.utils.PyDataset):
    """Training data for ``model.fit``: shuffled anew in each epoch, warped if ``ranges`` is given.

    Parameters
    ----------
    images : ndarray of shape (n, height, width, channels), uint8
        They stay as bytes in memory; a batch is made when it is needed.
    labels : ndarray of shape (n,)
        Integers.
    batch_size : int
        The last batch of an epoch is smaller if n is not a multiple.
    seed : int
        Together with the epoch it decides the order, together with epoch and batch the transforms.
    ranges : Ranges, optional
        What to vary; ``None`` shows every picture as it is.

    Notes
    -----
    ``model.fit`` counts epochs from ``initial_epoch``, a data set does not. Pass ``data.follow()`` among the callbacks:
    it tells the data which epoch begins. And pass ``shuffle=False`` to ``fit``: the pictures are shuffled here already,
    and ``fit`` would shuffle the batches once more with Python's global generator, which no checkpoint stores. With
    both, a resumed training sees the batches that it would have seen.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        ranges: augment.Ranges | None = None,
    ) -> None:
        super().__init__()
        if len(images) != len(labels) or not len(images):
            raise ValueError(f"{len(images)} images and {len(labels)} labels; there must be as many, and at least one")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.images, self.labels, self.ranges = images, np.asarray(labels), ranges
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self._order: tuple[int, np.ndarray] = (-1, np.arange(0))

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch number ``batch`` of the current epoch: pictures (b, height, width, channels) float32, labels (b, 1)."""
        if not 0 <= batch < len(self):
            raise IndexError(f"there are {len(self)} batches, numbered from 0; asked for {batch}")
        chosen = self.order()[batch * self.batch_size : (batch + 1) * self.batch_size]
        images = self.images[chosen].astype("float32")
        if self.ranges is not None:
            drawn = augment.draw(self.ranges, len(chosen), np.random.default_rng([self.seed, self.epoch, batch]))
            transforms = augment.matrices(*images.shape[1:3], **drawn)
            images = keras.ops.convert_to_numpy(augment.warp(images, transforms))
        return images, self.labels[chosen].astype("float32")[:, None]

    def order(self) -> np.ndarray:
        """Indices of all pictures in the order of the current epoch."""
        if self._order[0] != self.epoch:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.images))
            self._order = (self.epoch, order)
        return self._order[1]

    def follow(self) -> keras.callbacks.Callback:
        """Callback that tells this data set which epoch begins."""
        return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(self, "epoch", epoch))
