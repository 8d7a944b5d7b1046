"""Which true values a printed figure can stand for, against decimal rounding."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from true_tables import MODES, shortened

from cutis.claims.printed import Printed, Range
from cutis.errors import CutisError


@pytest.mark.parametrize(
    ("text", "value", "digits"),
    [
        (".8490", "0.849", 4),
        ("0.85", "0.85", 2),
        ("84.9 %", "0.849", 3),
        ("84,9%", "0.849", 3),
        ("100", "1", 2),
        ("84.90 per cent", "0.849", 4),
        ("1", "1", 0),
        ("-0.12", "-0.12", 2),
        ("\N{MINUS SIGN}.5", "-0.5", 1),
        ("8.5e-1", "0.85", 2),
        ("1.", "1", 0),
    ],
)
def test_a_figure_is_read_with_its_digits(text: str, value: str, digits: int) -> None:
    figure = Printed.parse(text)
    assert (figure.value, figure.digits, str(figure)) == (Fraction(value), digits, text)


def test_the_unit_can_be_said() -> None:
    assert Printed.parse("0.85", per_cent=True).value == Fraction("0.0085")
    assert Printed.parse("1.02", per_cent=False).value == Fraction("1.02")


@pytest.mark.parametrize("text", ["", ".", "%", "0.84 ± 0.01", "1.2.3", "about 0.8", "nan", "1e999", "0" * 50])
def test_what_is_no_figure_is_refused(text: str) -> None:
    with pytest.raises(CutisError, match="is not a figure"):
        Printed.parse(text)


shares = st.fractions(0, 1, max_denominator=5000)


@given(shares, st.integers(2, 4), st.sampled_from(MODES), st.booleans())
def test_the_true_value_lies_in_the_range_of_its_print(value: Fraction, digits: int, mode: str, per_cent: bool) -> None:
    figure = Printed.parse(shortened(value, digits, mode, per_cent), per_cent=False)
    assert figure.digits == digits
    assert value in (figure.cut() if mode == "ROUND_DOWN" else figure.rounded())
    assert value in figure.possible()
    assert value in Range(figure.value - figure.unit / 2, figure.value + figure.unit, high_in=False)


@given(shares, st.integers(2, 4), st.sampled_from(MODES), st.integers(-20, 20))
def test_no_other_print_has_the_value_outside_its_ends(value: Fraction, digits: int, mode: str, steps: int) -> None:
    """A figure two or more units off is not the print of the value."""
    figure = Printed.parse(shortened(value, digits, mode, False), per_cent=False)
    other = Printed(figure.text, figure.value + steps * figure.unit, digits)
    assert (value in other.possible()) <= (abs(steps) <= 1)


@given(st.fractions(-1, 1), st.fractions(-1, 1), st.booleans(), st.booleans(), st.integers(1, 60))
def test_counts_are_those_whose_share_lies_in_the_range(low: Fraction, high: Fraction, low_in: bool, high_in: bool, n: int) -> None:
    allowed = Range(low, high, low_in, high_in)
    assert list(allowed.counts(n)) == [k for k in range(n + 1) if Fraction(k, n) in allowed]


@given(
    *(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans(), st.booleans()) for _ in range(2)),
    st.fractions(0, 4, max_denominator=2),
)
def test_an_intersection_holds_what_both_hold(a: tuple[int, int, bool, bool], b: tuple[int, int, bool, bool], x: Fraction) -> None:
    one, other = (Range(Fraction(low), Fraction(high), i, j) for low, high, i, j in (a, b))
    assert (x in one & other) == (x in one and x in other)
    assert not ((one & other).empty and x in one & other)


def test_a_negative_figure_is_cut_towards_zero() -> None:
    figure = Printed.parse("-.12")
    assert Fraction("-.129") in figure.cut()
    assert Fraction("-.119") not in figure.cut()
    assert Fraction("-.13") not in figure.cut()


def test_another_value_is_shown_in_the_same_unit() -> None:
    assert Printed.parse("84.9 %").like(Fraction(1, 3)) == "33.33 %"
    assert Printed.parse(".849").like(Fraction(1, 3), 2) == "0.33333"
