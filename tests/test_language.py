"""The corpus without leaks, the characters, the small GPT, and generation with a cache."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import corpus
from helpers.corpus import ALPHABET, load_docstrings, paragraphs, part_of, without_repeats
from helpers.generation import CachedGPT, adjust, generate
from helpers.language import build_gpt, decode, encode, evaluate_nats, windows


class TestCorpus:
    def test_three_parts_of_clean_text_with_most_in_training(self, capsys):
        text = load_docstrings()
        assert len(text.train) > 4 * len(text.validation) > 0
        assert len(text.train) > 4 * len(text.test) > 0
        for part in (text.train, text.validation, text.test):
            assert set(part) <= set(ALPHABET)
            assert all(len(line) >= 40 for line in part.splitlines())

    def test_no_file_and_no_paragraph_is_in_two_parts(self):
        text = load_docstrings()
        for a, b in itertools.combinations(text.files.values(), 2):
            assert not set(a) & set(b)
        lines = [set(part.splitlines()) for part in (text.train, text.validation, text.test)]
        for a, b in itertools.combinations(lines, 2):
            assert not a & b

    @pytest.mark.parametrize(("a", "b"), [("decimal", "_pydecimal"), ("io", "_pyio"), ("datetime", "_pydatetime")])
    def test_twins_are_in_one_part(self, a, b):
        assert part_of(a) == part_of(b)

    def test_paragraphs_leave_out_examples_and_what_is_not_prose(self):
        source = b'''"""This first paragraph has enough words\nto be kept as it is.\n\n>>> example(1) # of some length to be left out\n
=== === === ======= ======== ======== ======== =======\n\nToo short.\n\nA caf\xc3\xa9 is not of the alphabet, so this one goes."""'''
        assert list(paragraphs(source)) == ["This first paragraph has enough words to be kept as it is."]
        assert list(paragraphs(b"def broken(:")) == []

    def test_a_near_repeat_is_dropped_and_a_new_line_is_kept(self):
        seen = set()
        first = "Return the number of items that the container holds at the moment of the call."
        near = "Return the number of items that the container holds at the moment of this call!"
        new = "Close the file and release every lock that was taken while it was open for writing."
        assert list(without_repeats([first, near, new, first.upper()], seen)) == [first, new]
        assert list(without_repeats([near, new], seen)) == []

    def test_a_planted_leak_is_removed(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(corpus, "_FEWEST", 100)
        names = {
            part: next(n for n in map("m{}".format, range(99)) if part_of(n) == part) for part in ("train", "test")
        }
        names["validation"] = next(n for n in map("m{}".format, range(99)) if part_of(n) == "validation")
        shared = "This sentence about cats and boxes stands in every one of the three files of the trial."
        for k, (part, name) in enumerate(names.items()):
            own = f"Only the {part} file has this sentence, which tells number {k} of the story in many more words."
            (tmp_path / f"{name}.py").write_text(f'"""{shared}\n\n{own}"""\n')
        text = load_docstrings(str(tmp_path))
        assert [shared in part for part in (text.train, text.validation, text.test)] == [True, False, False]
        assert text.test.startswith("Only the test file")

    def test_a_folder_without_docstrings_is_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="0 characters of docstrings"):
            load_docstrings(str(tmp_path))


class TestCharacters:
    @given(st.text(st.sampled_from(ALPHABET)))
    def test_round_trip(self, text):
        assert decode(encode(text)) == text
        assert encode(text).dtype == np.int32

    def test_known_numbers(self):
        assert encode("\n ~").tolist() == [0, 1, 95]

    @pytest.mark.parametrize(
        ("text", "match"), [("ab\tc", "position 2"), ("naïve", "'ï' at position 2"), ("\x7f", "0")]
    )
    def test_a_foreign_character_is_named(self, text, match):
        with pytest.raises(ValueError, match=match):
            encode(text)

    @pytest.mark.parametrize("numbers", [[96], [-1, 3]])
    def test_a_number_without_character_is_refused(self, numbers):
        with pytest.raises(ValueError, match="from 0 to 95"):
            decode(np.array(numbers))

    def test_windows_are_shifted_pieces_of_the_text(self):
        tokens = np.arange(50)
        x, y = windows(tokens, 7, 900, seed=3)
        assert x.shape == y.shape == (900, 7)
        assert np.array_equal(y, x + 1)
        assert x.min() == 0
        assert y.max() == 49  # the last token is a target
        assert np.array_equal(x, windows(tokens, 7, 900, seed=3)[0])
        assert not np.array_equal(x, windows(tokens, 7, 900, seed=4)[0])
        with pytest.raises(ValueError, match="no piece of 50"):
            windows(tokens, 50, 1, seed=0)


@pytest.fixture(scope="module")
def model():
    return build_gpt(vocabulary=11, context=8, width=12, heads=3, blocks=2, seed=5)


@pytest.fixture(scope="module")
def strong(model):
    """Large random weights: every path matters, and no probability is near uniform."""
    rng = np.random.default_rng(1)
    other = build_gpt(vocabulary=11, context=8, width=12, heads=3, blocks=2, seed=5)
    for weight in other.weights:
        weight.assign(rng.normal(0.2, 0.5, weight.shape))
    return other


TOKENS = np.array([[3, 1, 4, 1, 5, 9, 2, 6]], np.int32)


class TestModel:
    def test_has_the_parameters_of_the_formula(self, model):
        assert model.count_params() == (11 + 8) * 12 + 2 * (12 * 12**2 + 13 * 12) + 2 * 12

    def test_seed_fixes_the_weights_and_query_differs_from_key(self, model):
        same, other = (build_gpt(11, 8, 12, 3, 2, seed) for seed in (5, 6))
        for a, b in zip(model.get_weights(), same.get_weights(), strict=True):
            assert np.array_equal(a, b)
        assert any(not np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
        layer = model.get_layer("attention_0")
        assert not np.allclose(layer.query_dense.kernel, layer.key_dense.kernel)

    def test_starts_close_to_the_uniform_distribution(self):
        fresh = build_gpt(96, 16, 32, 2, 2, seed=0)
        assert evaluate_nats(fresh, np.arange(96).repeat(3), 16) == pytest.approx(np.log(96), abs=0.3)

    def test_the_future_changes_nothing_before_it(self, strong):
        before = strong.predict_on_batch(TOKENS)[0]
        for place in range(8):
            changed = TOKENS.copy()
            changed[0, place] = 10
            after = strong.predict_on_batch(changed)[0]
            assert np.array_equal(after[:place], before[:place])
            assert np.all(np.abs(after[place:] - before[place:]).max(axis=1) > 1e-3)

    def test_evaluate_nats_agrees_with_the_loss_of_keras(self, strong):
        import keras

        tokens = np.random.default_rng(0).integers(0, 11, 8 * 5 + 3)  # the last 2 pieces of a row are left out
        x, y = tokens[:40].reshape(5, 8), tokens[1:41].reshape(5, 8)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, strong.predict_on_batch(x))
        assert evaluate_nats(strong, tokens, 8, batch_size=2) == pytest.approx(float(loss), rel=1e-5)
        with pytest.raises(ValueError, match="no piece"):
            evaluate_nats(strong, tokens[:8], 8)

    @pytest.mark.parametrize("sizes", [(11, 8, 12, 5, 1), (0, 8, 12, 3, 1), (11, 8, 12, 3, 0)])
    def test_impossible_sizes_are_refused(self, sizes):
        with pytest.raises(ValueError, match="heads must divide width"):
            build_gpt(*sizes, seed=0)


class TestGeneration:
    def test_numpy_equals_keras_at_once_and_token_by_token(self, strong):
        expected = strong.predict_on_batch(TOKENS)[0]
        reader = CachedGPT(strong)
        np.testing.assert_allclose(reader.read(TOKENS[0]), expected, atol=2e-4, rtol=1e-4)
        reader.reset()
        one_by_one = np.concatenate([reader.read([t]) for t in TOKENS[0]])
        np.testing.assert_allclose(one_by_one, expected, atol=2e-4, rtol=1e-4)
        with pytest.raises(ValueError, match="the context holds 8"):
            reader.read([1])

    @pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"temperature": 0.7, "top_k": 4}, {"top_p": 0.8}])
    def test_with_cache_equals_without(self, strong, options):
        texts = [generate(strong, TOKENS[0, :3], 30, seed=2, cache=cache, **options) for cache in (True, False)]
        assert np.array_equal(*texts)
        assert texts[0].shape == (30,)

    def test_the_seed_decides_and_a_long_prompt_is_cut(self, strong):
        prompt = np.tile(TOKENS[0], 3)
        first = generate(strong, prompt, 20, seed=1)
        assert np.array_equal(first, generate(strong, TOKENS[0], 20, seed=1))
        assert not np.array_equal(first, generate(strong, prompt, 20, seed=2))
        with pytest.raises(ValueError, match="at least one token"):
            generate(strong, [], 5)

    def test_adjust_gives_known_probabilities(self):
        logits = np.log([0.5, 0.1, 0.3, 0.1])
        np.testing.assert_allclose(adjust(logits), [0.5, 0.1, 0.3, 0.1])
        np.testing.assert_allclose(adjust(logits, top_k=2), [0.625, 0, 0.375, 0])
        np.testing.assert_allclose(adjust(logits, top_p=0.79), [0.625, 0, 0.375, 0])
        np.testing.assert_allclose(adjust(logits, top_p=0.85), np.array([5, 1, 3, 0]) / 9)
        np.testing.assert_allclose(adjust(logits, temperature=0.5), np.array([25, 1, 9, 1]) / 36)
        assert adjust(logits, temperature=0).tolist() == [1, 0, 0, 0]
        assert adjust(logits, top_p=1e-9).tolist() == [1, 0, 0, 0]

    @pytest.mark.parametrize("options", [{"temperature": -1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}])
    def test_impossible_options_are_refused(self, options):
        with pytest.raises(ValueError, match="need temperature"):
            adjust(np.zeros(3), **options)


def test_the_modules_import_no_framework():
    code = "import sys, helpers.corpus, helpers.language, helpers.generation; print({'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "set()"
