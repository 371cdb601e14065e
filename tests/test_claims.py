"""Every kind of claim holds when it should, fails when it should, and leaves its record either way."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from book import ledger
from conftest import stdout_of
from helpers import claims, datasets, display
from helpers.claims import ClaimFailed

ID, SENTENCE = "test.claim", "This is so."
number = st.floats(allow_nan=False, allow_infinity=False, width=32)
any_number = st.floats(allow_nan=True, allow_infinity=True)


@pytest.fixture(autouse=True)
def records(monkeypatch):
    """The records that the claims of a test leave, as the builder would find them."""
    kept: list[dict] = []

    def record(mime, data, *, text, html=None):
        assert mime == claims.MIME == ledger.CLAIM
        kept.append(json.loads(json.dumps(data, allow_nan=False)))

    monkeypatch.setattr(display, "record", record)
    monkeypatch.setattr(datasets, "_used", {})
    return kept


class TestEqual:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (4, 4),
            (4, 4.0),
            (np.int64(7), 7),
            ("abc", "abc"),
            ((2, 3), (2, 3)),
            ([1, [2, 3]], [1, [2, 3]]),
            (np.array([1, 2]), np.array([1, 2])),
            (np.array([1, 2]), [1, 2]),
            (True, True),
            (None, None),
            (math.inf, math.inf),
        ],
    )
    def test_holds_for_the_same(self, records, value, expected):
        assert claims.equal(ID, SENTENCE, value, expected).passed
        assert records[0]["passed"] is True

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (4, 5),
            (0.1 + 0.2, 0.3),
            ("abc", "abC"),
            ("4", 4),
            ((2, 3), (2, 4)),
            ((2, 3), (2, 3, 4)),
            (np.array([1, 2]), np.array([1, 3])),
            (np.zeros((2, 1)), np.zeros((1, 2))),
            (np.zeros(3), 0.0),
            (0.0, np.zeros(3)),
            (np.zeros(2), np.zeros(3)),
            (None, 0),
        ],
    )
    def test_fails_for_what_differs(self, records, value, expected):
        with pytest.raises(ClaimFailed):
            claims.equal(ID, SENTENCE, value, expected)
        assert [r["passed"] for r in records] == [False]

    @pytest.mark.parametrize(
        "nan",
        [
            math.nan,
            np.float32("nan"),
            np.array([1.0, math.nan]),
            (1.0, math.nan),
            [[math.nan]],
            {"a": math.nan},
        ],
        ids=repr,
    )
    def test_nan_equals_nothing_not_even_itself(self, records, nan):
        with pytest.raises(ClaimFailed):
            claims.equal(ID, SENTENCE, nan, nan)
        assert records[0]["passed"] is False

    def test_arrays_report_how_many_elements_differ(self, records):
        with pytest.raises(ClaimFailed, match="Measured 2"):
            claims.equal(ID, SENTENCE, np.array([1, 2, 3]), np.array([1, 0, 0]))

    def test_a_shape_mismatch_reports_the_shape(self, records):
        with pytest.raises(ClaimFailed, match=r"shape \(2,\)"):
            claims.equal(ID, SENTENCE, np.zeros(2), np.zeros(3))


class TestClose:
    def close(self, value, expected, **options):
        return claims.close(ID, SENTENCE, value, expected, **{"reason": "rounding", **options})

    @pytest.mark.parametrize("value", [1.25, 0.75, 1.0])
    def test_holds_up_to_the_tolerance(self, value):
        assert self.close(value, 1.0, atol=0.25).passed

    @pytest.mark.parametrize("value", [math.nextafter(1.25, 2), math.nextafter(0.75, 0), -1.0])
    def test_fails_one_step_beyond_the_tolerance(self, records, value):
        with pytest.raises(ClaimFailed):
            self.close(value, 1.0, atol=0.25)
        assert records[0]["passed"] is False

    def test_relative_tolerance_is_relative_to_the_expected_value(self):
        assert self.close(12.0, 8.0, rtol=0.5).passed
        assert self.close(-12.0, -8.0, rtol=0.5).passed
        with pytest.raises(ClaimFailed):
            self.close(8.0, 5.0, rtol=0.5)

    def test_tolerances_add_up(self):
        assert self.close(11.0, 8.0, rtol=0.25, atol=1.0).passed
        with pytest.raises(ClaimFailed):
            self.close(11.5, 8.0, rtol=0.25, atol=1.0)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (math.nan, 1.0),
            (1.0, math.nan),
            (math.nan, math.nan),
            (math.inf, 1.0),
            (1.0, math.inf),
            (1.0, -math.inf),
            (math.inf, math.inf),
            ([1.0, math.nan], [1.0, 1.0]),
            ([1.0, 5.0], [1.0, math.inf]),
            ([math.inf, 1.0], [math.inf, 1.0]),
        ],
    )
    @pytest.mark.parametrize("tolerance", [{"atol": 1e9}, {"rtol": 0.5}])
    def test_fails_for_nan_and_infinity(self, records, value, expected, tolerance):
        with pytest.raises(ClaimFailed):
            self.close(value, expected, **tolerance)
        assert [r["passed"] for r in records] == [False]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [([], []), ([], 1.0), (np.zeros((2, 1)), np.zeros((1, 2))), (0.0, [0.0, 0.0]), (np.zeros(2), np.zeros(3))],
    )
    def test_fails_for_nothing_and_for_other_shapes(self, records, value, expected):
        with pytest.raises(ClaimFailed):
            self.close(value, expected, atol=1.0)
        assert records[0]["passed"] is False

    def test_an_array_may_be_held_against_one_number(self):
        assert self.close(np.array([0.5, -0.5]), 0.0, atol=0.5).passed
        with pytest.raises(ClaimFailed):
            self.close(np.array([0.5, -0.75]), 0.0, atol=0.5)

    def test_an_array_reports_its_largest_difference(self, records):
        self.close(np.array([1.0, 2.0, 2.5]), np.array([1.0, 2.25, 2.0]), atol=0.5)
        assert records[0]["value"] == 0.5

    @pytest.mark.parametrize(
        "tolerance",
        [
            {},
            {"atol": 0.0},
            {"rtol": 0.0},
            {"atol": -1.0},
            {"atol": 1.0, "rtol": -0.1},
            {"atol": math.nan},
            {"atol": math.inf},
            {"rtol": math.inf},
        ],
        ids=str,
    )
    def test_a_tolerance_that_means_nothing_is_refused(self, records, tolerance):
        with pytest.raises(ValueError, match="atol"):
            self.close(1.0, 1.0, **tolerance)
        assert records == []

    @pytest.mark.parametrize("reason", ["", "   "])
    def test_the_reason_is_required(self, records, reason):
        with pytest.raises(ValueError, match="reason"):
            self.close(1.0, 1.0, atol=1.0, reason=reason)
        with pytest.raises(TypeError, match="reason"):
            claims.close(ID, SENTENCE, 1.0, 1.0, atol=1.0)
        assert records == []

    def test_the_reason_is_shown(self, records):
        self.close(1.0, 1.0, atol=1.0, reason="published to one digit")
        assert "published to one digit" in records[0]["bound"]

    @given(value=number, expected=number, atol=st.floats(0, 1e6), rtol=st.floats(0, 1))
    def test_is_symmetric_in_sign(self, value, expected, atol, rtol):
        assume(atol + rtol > 0)
        options = {"atol": atol, "rtol": rtol}
        assert holds(self.close, value, expected, **options) == holds(self.close, -value, -expected, **options)


class TestBand:
    @pytest.mark.parametrize(
        ("value", "low", "high"),
        [(0.5, 0.25, 0.75), (0.25, 0.25, 0.75), (0.75, 0.25, 0.75), (9.0, 0.25, None), (-9.0, None, 0.75), (0.25, 0.25, None)],
    )  # fmt: skip
    def test_holds_inside_and_on_both_edges(self, value, low, high):
        assert claims.band(ID, SENTENCE, value, low, high).passed

    @pytest.mark.parametrize(
        ("value", "low", "high"),
        [
            (math.nextafter(0.25, 0), 0.25, 0.75),
            (math.nextafter(0.75, 1), 0.25, 0.75),
            (0.0, 0.25, None),
            (1.0, None, 0.75),
            (math.inf, None, 0.75),
            (-math.inf, 0.25, None),
        ],
    )
    def test_fails_outside(self, records, value, low, high):
        with pytest.raises(ClaimFailed):
            claims.band(ID, SENTENCE, value, low, high)
        assert [r["passed"] for r in records] == [False]

    @pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, None), (None, 1.0)])
    def test_nan_lies_in_no_band(self, records, low, high):
        with pytest.raises(ClaimFailed):
            claims.band(ID, SENTENCE, math.nan, low, high)
        assert records[0]["passed"] is False

    @pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (None, None), (math.nan, 1.0)])
    def test_a_band_that_is_none_is_refused(self, records, low, high):
        with pytest.raises(ValueError, match=r"claim test\.claim"):
            claims.band(ID, SENTENCE, 1.0, low, high)
        assert records == []

    @given(value=any_number, low=number, width=st.floats(1e-3, 1e3))
    @example(value=math.nan, low=0.0, width=1.0)
    def test_agrees_with_an_independent_definition(self, value, low, width):
        high = low + width
        assume(low < high)
        # The middle one of the three numbers is the value itself, and it is equal to itself.
        inside = value == value and sorted([low, value, high])[1] == value
        assert holds(claims.band, value, low, high) == inside


class TestOrder:
    def test_holds_if_every_seed_and_the_mean_agree(self, records):
        assert claims.order(ID, SENTENCE, [3.0, 4.0], [1.0, 2.5], margin=1.0).passed
        assert records[0]["value"] == [2.0, 1.5]

    @pytest.mark.parametrize(
        ("larger", "smaller", "margin"),
        [
            ([9.0, 9.0, 1.0], [1.0, 1.0, 1.5], 0.0),
            ([2.0, 2.0], [1.0, 2.0], 0.0),
            ([2.0, 3.0], [1.0, 2.0], 1.0),
            ([1.5, 1.5], [1.0, 1.0], 0.75),
            ([2.0, math.nan], [1.0, 1.0], 0.0),
            ([2.0, 2.0], [1.0, math.nan], 0.0),
        ],
        ids=["one seed reversed", "one seed tied", "mean equals margin", "margin missed", "NaN above", "NaN below"],
    )
    def test_fails_if_one_seed_or_the_mean_does_not(self, records, larger, smaller, margin):
        with pytest.raises(ClaimFailed):
            claims.order(ID, SENTENCE, larger, smaller, margin=margin)
        assert [r["passed"] for r in records] == [False]

    @pytest.mark.parametrize(
        ("larger", "smaller"),
        [([2.0], [1.0]), ([], []), ([2.0, 2.0], [1.0]), (2.0, 1.0), ([[2.0, 2.0]], [[1.0, 1.0]])],
        ids=["one seed", "none", "unpaired", "no lists", "tables"],
    )
    def test_what_is_not_paired_over_seeds_is_refused(self, records, larger, smaller):
        with pytest.raises(ValueError, match="paired"):
            claims.order(ID, SENTENCE, larger, smaller)
        assert records == []

    @pytest.mark.parametrize("margin", [-0.1, math.nan])
    def test_a_margin_below_zero_is_refused(self, margin):
        with pytest.raises(ValueError, match="margin"):
            claims.order(ID, SENTENCE, [2.0, 2.0], [1.0, 1.0], margin=margin)


class TestRaises:
    def test_holds_for_the_error_with_the_message(self, records, capsys):
        with claims.raises(ID, SENTENCE, ZeroDivisionError, "division by zero"):
            1 / 0  # noqa: B018
        assert records[0]["passed"] is True
        assert records[0]["value"] == "ZeroDivisionError"
        assert "ZeroDivisionError: division by zero" in capsys.readouterr().out

    def test_holds_for_a_subclass_and_for_one_of_several(self, records):
        with claims.raises(ID, SENTENCE, LookupError, "gone"):
            raise KeyError("gone")
        with claims.raises(ID, SENTENCE, (TypeError, ValueError), "bad"):
            raise ValueError("bad")
        assert [r["passed"] for r in records] == [True, True]

    def test_fails_if_nothing_is_raised(self, records):
        with pytest.raises(ClaimFailed, match="no error"), claims.raises(ID, SENTENCE, ValueError, "x"):
            pass
        assert [r["passed"] for r in records] == [False]

    def test_fails_for_another_error_and_says_which(self, records):
        with pytest.raises(ClaimFailed, match="TypeError: other"), claims.raises(ID, SENTENCE, ValueError, "other"):
            raise TypeError("other")
        assert [r["passed"] for r in records] == [False]

    def test_fails_for_another_message(self, records):
        with pytest.raises(ClaimFailed), claims.raises(ID, SENTENCE, ValueError, "shape mismatch"):
            raise ValueError("something else")
        assert [r["passed"] for r in records] == [False]

    def test_a_base_class_is_not_the_error(self, records):
        with pytest.raises(ClaimFailed), claims.raises(ID, SENTENCE, KeyError, "gone"):
            raise LookupError("gone")
        assert records[0]["passed"] is False

    def test_lets_ctrl_c_through(self, records):
        with pytest.raises(KeyboardInterrupt), claims.raises(ID, SENTENCE, ValueError, "x"):
            raise KeyboardInterrupt
        assert records == []

    def test_an_empty_match_is_refused(self):
        with pytest.raises(ValueError, match="match"), claims.raises(ID, SENTENCE, ValueError, ""):
            pass


@pytest.mark.parametrize(
    "bad", ["", "mnist", "Mnist.mlp", "mnist mlp.a", "mnist..mlp", ".mnist.a", "mnist.a.", "a.b_c"]
)
def test_an_id_of_another_form_is_refused(records, bad):
    with pytest.raises(ValueError, match="claim id"):
        claims.equal(bad, SENTENCE, 1, 1)
    assert records == []


@pytest.mark.parametrize("bad", ["", "accuracy", "The accuracy is high"])
def test_a_statement_must_be_a_sentence(records, bad):
    with pytest.raises(ValueError, match="sentence"):
        claims.equal(ID, bad, 1, 1)
    assert records == []


@pytest.mark.parametrize(
    ("errata", "capabilities"),
    [(["E1"], []), (["21"], []), (["e21"], []), (["E211"], []), (["C-M1"], []), ([], ["M1"]), ([], ["C-"]), ([], ["E21"])],
)  # fmt: skip
def test_an_unknown_form_of_erratum_or_capability_is_refused(records, errata, capabilities):
    with pytest.raises(ValueError, match="is not an id"):
        claims.equal(ID, SENTENCE, 1, 1, errata=errata, capabilities=capabilities)
    assert records == []


def test_one_erratum_or_several_may_be_named(records):
    claims.equal(ID, SENTENCE, 1, 1, errata="E21", capabilities="C-M1")
    claims.equal(ID, SENTENCE, 1, 1, errata=("E21", "E22"), capabilities=["C-MLP", "C-FWD"])
    assert [r["errata"] for r in records] == [["E21"], ["E21", "E22"]]
    assert [r["capabilities"] for r in records] == [["C-M1"], ["C-MLP", "C-FWD"]]


def test_the_failure_names_id_statement_value_and_bound():
    with pytest.raises(ClaimFailed) as caught:
        claims.band("mnist.mlp.accuracy", "The model reads digits.", 0.5, low=0.97)
    for part in ("mnist.mlp.accuracy", "The model reads digits.", "0.5", "at least 0.97"):
        assert part in str(caught.value)


def test_a_record_names_the_data_loaded_before(records, monkeypatch):
    monkeypatch.setattr(datasets, "_used", {"mnist": "cache"})
    claims.equal(ID, SENTENCE, 1, 1)
    assert records[0]["data"] == ["mnist (cache)"]


def test_the_line_on_the_page_escapes_markup():
    html = claims.equal(ID, "A < B & <script>.", "<b>", "<b>").as_html()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "A &lt; B &amp; &lt;script&gt;." in html


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | any_number | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=json_values)
@example(value=(np.float32(1.5), np.arange(3), {1: {2}}))
def test_every_record_survives_json(value):
    kept: list[dict] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(display, "record", lambda mime, data, **_: kept.append(data))
        holds(claims.equal, value, value)
    assert json.loads(json.dumps(kept[0], allow_nan=False)) == kept[0]
    assert {"id", "statement", "value", "bound", "passed", "errata", "capabilities"} <= set(kept[0])


def test_claims_are_collected_from_the_executed_notebook(project, main):
    project.write(
        "holds",
        "from helpers import claims",
        "_ = claims.equal('demo.sum', 'Two and two make four.', 2 + 2, 4, errata='E01', capabilities=['C-M1'])",
        "with claims.raises('demo.zero', 'Division by zero stops.', ZeroDivisionError, 'division'):\n    1 / 0",
    )
    project.write(
        "fails",
        "from helpers import claims",
        "_ = claims.equal('demo.first', 'This holds.', 1, 1)",
        "_ = claims.band('demo.second', 'This does not.', 0.5, low=0.9)\nprint('never')",
        "_ = claims.equal('demo.third', 'This is never reached.', 1, 1)",
    )
    assert main(project, "execute").status == 1

    from_notebook = ledger.claims_of(project.executed("holds"))
    assert [(c["id"], c["passed"]) for c in from_notebook] == [("demo.sum", True), ("demo.zero", True)]
    assert from_notebook[0]["errata"] == ["E01"]
    assert from_notebook[0]["capabilities"] == ["C-M1"]
    assert project.results()["holds"]["claims"] == from_notebook

    failed = project.results()["fails"]
    assert (failed["status"], failed["cell"]) == ("failed", 5)
    assert "demo.second" in failed["error"]
    partial = project.partial("fails")
    assert [(c["id"], c["passed"]) for c in ledger.claims_of(partial)] == [("demo.first", True), ("demo.second", False)]
    assert failed["claims"] == ledger.claims_of(partial)
    assert "Claim fails" in json.dumps(partial)
    assert "never" not in stdout_of(partial)
    assert not (project.build / "executed" / "fails.ipynb").exists()


def test_outside_a_notebook_a_claim_prints_one_line(monkeypatch, capsys):
    monkeypatch.undo()
    claim = claims.equal("demo.sum", "Two and two make four.", 2 + 2, 4)
    assert capsys.readouterr().out == (
        "[claim holds] demo.sum: Two and two make four. Measured 4; required: exactly 4.\n"
    )
    assert asdict(claim)["kind"] == "equal"


def holds(claim, *arguments, **options) -> bool:
    """Whether a claim holds; other errors are errors of the test."""
    before = (ID, SENTENCE) if claim in (claims.equal, claims.band) else ()
    try:
        return claim(*before, *arguments, **options).passed
    except ClaimFailed:
        return False
