"""Arithmetic of the two models, counted from their shapes: a multiply and an add are two operations.

Only products of matrices are counted, as is usual (Kaplan and others 2020, section 2.1): norms, activations, softmax and the
optimiser are left out. Training takes three times the forward pass: backward there are two products for each one forward. The
first layer of the CNN needs no gradient of its input. Attention counts all pairs of tokens, as is usual too (Chowdhery and
others 2022, appendix B), also where a fused kernel leaves out the masked half: see :func:`masked_share`.
"""

from __future__ import annotations

from collections.abc import Sequence


def cnn_layers(size: int, widths: Sequence[int], dense: int, outputs: int = 1) -> list[int]:
    """Operations of each layer of chapter 6's network for one picture: 3 x 3 convolutions, each halved, then two dense."""
    channels, counts = 3, []
    for width in widths:
        size -= 2
        counts.append(2 * 9 * channels * width * size**2)
        channels, size = width, size // 2
    counts.append(2 * channels * size**2 * dense)
    counts.append(2 * dense * outputs)
    return counts


def cnn_training(size: int, widths: Sequence[int], dense: int, outputs: int = 1) -> int:
    """Operations to train the CNN on one picture."""
    counts = cnn_layers(size, widths, dense, outputs)
    return 3 * sum(counts) - counts[0]


def attention(context: int, width: int) -> int:
    """Forward, one token, one block: four projections, the scores, and the mean of the values."""
    return 4 * 2 * width**2 + 2 * 2 * context * width


def feed_forward(width: int) -> int:
    """Forward, one token, one block: to four times the width and back."""
    return 2 * 2 * width * 4 * width


def output(vocabulary: int, width: int) -> int:
    """Forward, one token: the logits."""
    return 2 * width * vocabulary


def gpt_forward(vocabulary: int, context: int, width: int, blocks: int) -> int:
    """Operations of chapter 7's GPT for one token of a full context."""
    return blocks * (attention(context, width) + feed_forward(width)) + output(vocabulary, width)


def gpt_training(vocabulary: int, context: int, width: int, blocks: int) -> int:
    """Operations to train the GPT on one token."""
    return 3 * gpt_forward(vocabulary, context, width, blocks)


def masked_share(vocabulary: int, context: int, width: int, blocks: int) -> float:
    """Share of the counted operations that belongs to pairs which the causal mask hides."""
    hidden = (context - 1) / (2 * context)
    return blocks * 2 * 2 * context * width * hidden / gpt_forward(vocabulary, context, width, blocks)
