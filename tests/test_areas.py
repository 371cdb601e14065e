"""The text task of chapter 8: parts that do not leak, equal shares, and what must be refused."""

import numpy as np
import pytest

from helpers import areas


@pytest.fixture(scope="module")
def parts():
    return areas.load_areas(40, seed=0)


def test_each_area_has_its_share(parts):
    for part in parts:
        assert len(part.texts) == len(part.labels) == len(part.modules) == 40 * len(areas.TRAIN)
        assert np.bincount(part.labels).tolist() == [40] * len(areas.TRAIN)


def test_no_module_and_no_text_is_in_both_parts(parts):
    train, test = parts
    assert not set(train.modules) & set(test.modules)
    assert not set(train.texts) & set(test.texts)
    assert len(set(train.texts + test.texts)) == len(train.texts) + len(test.texts)


def test_the_lists_of_modules_are_disjoint():
    names = [m for side in (areas.TRAIN, areas.TEST) for modules in side.values() for m in modules.split()]
    assert len(names) == len(set(names))
    assert list(areas.TRAIN) == list(areas.TEST)


def test_labels_are_those_of_the_module(parts):
    for part, side in zip(parts, (areas.TRAIN, areas.TEST), strict=True):
        lists = [modules.split() for modules in side.values()]
        assert all(m in lists[label] for m, label in zip(part.modules, part.labels, strict=True))


def test_the_seed_decides(parts):
    assert areas.load_areas(40, seed=0)[0].texts == parts[0].texts
    assert areas.load_areas(40, seed=1)[0].texts != parts[0].texts


def test_too_many_texts_are_refused():
    with pytest.raises(ValueError, match="docstrings of the area"):
        areas.load_areas(100_000, seed=0)
    with pytest.raises(ValueError, match="at least 1"):
        areas.load_areas(0, seed=0)


def test_a_folder_without_sources_is_named(tmp_path):
    with pytest.raises(ValueError, match="has 0 docstrings of the area 'network'"):
        areas.load_areas(5, seed=0, folder=str(tmp_path))


def test_a_module_that_became_a_package_is_found(tmp_path):
    things = ["sockets wait for packets", "folders hold many documents", "fractions have numerators and signs",
              "assertions fail when results differ", "threads share memory with locks"]  # fmt: skip
    for side, opening in ((areas.TRAIN, "Here you can read that"), (areas.TEST, "Other modules tell us how")):
        for modules, thing in zip(side.values(), things, strict=True):
            module = tmp_path / modules.split()[0]
            module.mkdir(parents=True)
            (module / "__init__.py").write_text(f'"""{opening} {thing}."""\n', encoding="utf-8")
    train, test = areas.load_areas(1, seed=0, folder=str(tmp_path))
    assert sorted(train.labels) == sorted(test.labels) == list(range(5))
