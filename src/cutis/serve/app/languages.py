"""The languages of the page: a JSON file each in ``texts/``, every sentence by a key; a new language is a new file."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from cutis.report import words

FIRST: Final = "en"


@dataclass(frozen=True)
class Language:
    """The page's sentences in one language, and how it writes numbers; ``code`` as BCP 47 has it."""

    code: str
    lines: Mapping[str, Any]

    def __call__(self, key: str, **values: object) -> str:
        """The sentence of a key, its places filled."""
        return str(self.lines[key]).format(**values)

    def meaning(self, name: str) -> str:
        """What a class's short name stands for, where it is a known one; else nothing."""
        return str(self.lines["classes"].get(name.lower(), ""))

    def told(self, clause: str) -> str:
        """What the library says of a file in English, in this language where ``library`` knows it, else as it is."""
        return next((line for pattern, line in self.lines["library"].items() if re.match(pattern, clause)), clause)

    def number(self, value: float, digits: int = 2) -> str:
        """A number with this language's decimal sign."""
        return f"{value:.{digits}f}".replace(".", self.lines["decimal"])

    def share(self, value: float) -> str:
        """A share as people say it; one that is not certain never reads as 0 or 100 per cent."""
        if 0 < value < 0.001:
            return "< " + self._per_cent("0.1")
        if 0.995 <= value < 1:
            return "> " + self._per_cent("99")
        return self._per_cent(words.per_cent(value).removesuffix(" %"))

    def percentage(self) -> str:
        """How a whole number of per cent is written, as a format of C."""
        return str(self.lines["per_cent"]).replace("%", "%%").format("%d")

    def _per_cent(self, figure: str) -> str:
        return str(self.lines["per_cent"]).format(figure.replace(".", self.lines["decimal"]))

    def either(self, items: Sequence[str]) -> str:
        """``a``, ``a or b``, ``a, b or c``."""
        return words.listed(items, self("or"))

    def all(self, items: Sequence[str]) -> str:
        """``a``, ``a and b``, ``a, b and c``."""
        return words.listed(items, self("and"))


@cache
def languages() -> dict[str, Language]:
    """Every language by its code, the first one first."""
    found = {
        file.name.removesuffix(".json"): json.loads(file.read_text("utf-8")) for file in files(__package__).joinpath("texts").iterdir()
    }
    return {code: Language(code, found[code]) for code in sorted(found, key=lambda code: (code != FIRST, code))}


def chosen(wanted: str | None) -> Language:
    """The language of a code or of a browser's locale (``tr-TR``), else the first."""
    return languages().get((wanted or FIRST).partition("-")[0].lower(), languages()[FIRST])
