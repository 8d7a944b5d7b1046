"""A printed figure: the digits that were kept, and which true values they can stand for."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from cutis.errors import CutisError

LONGEST = 40  # characters of a figure
FIGURE = re.compile(r"([+-]?)(\d*)(?:[.,](\d*))?(?:[eE]([+-]?\d{1,2}))?\s*(%|per ?cent|pct\.?)?")


@dataclass(frozen=True)
class Range:
    """The numbers between two ends; an end belongs to it where ``low_in`` or ``high_in`` says so."""

    low: Fraction
    high: Fraction
    low_in: bool = True
    high_in: bool = True

    def __contains__(self, number: Fraction | int) -> bool:
        above = number > self.low or (number == self.low and self.low_in)
        return above and (number < self.high or (number == self.high and self.high_in))

    def __and__(self, other: "Range") -> "Range":
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Range(
            low,
            high,
            (self.low < low or self.low_in) and (other.low < low or other.low_in),
            (self.high > high or self.high_in) and (other.high > high or other.high_in),
        )

    @property
    def empty(self) -> bool:
        """Whether no number lies in it."""
        return self.low > self.high or (self.low == self.high and not (self.low_in and self.high_in))

    def counts(self, n: int) -> range:
        """The whole numbers k from 0 to n for which k / n lies in the range; n >= 1."""
        low, high = math.ceil(self.low * n), math.floor(self.high * n)
        low += low == self.low * n and not self.low_in
        high -= high == self.high * n and not self.high_in
        return range(max(low, 0), min(high, n) + 1)


@dataclass(frozen=True)
class Printed:
    """A figure as it was printed: ``.8490``, ``84.9 %``, ``0.85``."""

    text: str
    """As it was written."""
    value: Fraction
    """As a fraction of one."""
    digits: int
    """Decimals that were kept of the fraction of one: "84.9 %" has 3."""

    @classmethod
    def parse(cls, text: str, per_cent: bool | None = None) -> "Printed":
        """The figure in a text; without a sign of its own it is per cent where ``per_cent`` says so or, with None, where it exceeds 1.

        A decimal comma is read as a point. Raises CutisError where the text is not one number.
        """
        plain = text.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ").strip()
        found = FIGURE.fullmatch(plain) if len(plain) <= LONGEST else None
        if not found or not (found[2] or found[3]):
            raise CutisError(
                f"{text[:LONGEST]!r} is not a figure. Write one number, such as 0.849, .849 or 84.9 %; for a mean of several runs"
                " write the mean alone, and their number as seeds."
            )
        sign, whole, decimals, exponent, unit = found.groups()
        digits = len(decimals or "") - int(exponent or 0)
        value = Fraction(int(sign + whole + (decimals or ""))) / Fraction(10) ** digits
        if unit or (value > 1 if per_cent is None else per_cent):
            value, digits = value / 100, digits + 2
        return cls(text.strip(), value, digits)

    @cached_property
    def unit(self) -> Fraction:
        """One in the last printed place."""
        return Fraction(10) ** -self.digits

    def rounded(self) -> Range:
        """The true values that are printed so when rounded.

        A value half-way goes up, to the even digit, or where binary floating point puts it, by the program that rounds; both ends belong.
        """
        return Range(self.value - self.unit / 2, self.value + self.unit / 2)

    def cut(self) -> Range:
        """The true values that are printed so when further digits are cut off (towards zero)."""
        down, up = self.value <= 0, self.value >= 0
        return Range(self.value - down * self.unit, self.value + up * self.unit, not down, not up)

    def readings(self) -> tuple[Range, Range]:
        """As rounded, and as cut off."""
        return self.rounded(), self.cut()

    def possible(self) -> Range:
        """The true values that are printed so by either: what lies outside contradicts the figure however it was shortened."""
        rounded, cut = self.readings()
        low, high = min(rounded.low, cut.low), max(rounded.high, cut.high)
        return Range(low, high, low in rounded or low in cut, high in rounded or high in cut)

    def like(self, value: Fraction, more: int = 1) -> str:
        """Another value in this figure's unit, with ``more`` further digits: 0.91234 for one that was printed as .9123."""
        if self.per_cent:
            return f"{float(value * 100):.{max(self.digits - 2, 0) + more}f} %"
        return f"{float(value):.{max(self.digits, 0) + more}f}"

    @property
    def per_cent(self) -> bool:
        """Whether it was printed as per cent."""
        return not self.text[-1].isdigit() and self.text[-1] not in ".,"

    def __str__(self) -> str:
        return self.text
