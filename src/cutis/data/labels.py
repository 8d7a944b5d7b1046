"""Labels: names of one collection in the words of another, which diagnoses count as malignant, and the order of grades."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import pandas as pd

from cutis.errors import DataError
from cutis.registry import Registry, unknown

label_maps: Registry[Callable[[], Mapping[str, str]]] = Registry("label map", "cutis.data.labels")

SEVERITY = ("clear", "almost clear", "mild", "moderate", "severe", "very severe")
"""Grades in words, lowest first."""


def chosen(spec: Mapping[str, str] | str | Sequence[str], labels: Iterable[str]) -> dict[str, str]:
    """Old name to new name, in the spelling of ``labels``.

    ``spec`` is a mapping, the name of a shipped map, or ``old=new`` texts (one, several, or joined by commas); an empty new name
    takes the label away. Case does not matter. A shipped map must cover all labels; the others change only what they name.
    """
    spelling = {label.casefold(): label for label in sorted(labels)}
    if isinstance(spec, Mapping):
        return {_spelt(old, spelling): new for old, new in spec.items()}
    result: dict[str, str] = {}
    for item in spec.split(",") if isinstance(spec, str) else [i for s in spec for i in s.split(",")]:
        old, equals, new = (text.strip() for text in item.partition("="))
        if equals:
            result[_spelt(old, spelling)] = new
        else:
            result |= _shipped(old, spelling)
    return result


def by_grade(names: Iterable[str]) -> tuple[str, ...]:
    """The names from the lowest grade to the highest where they say it, else empty.

    They say it by one whole number in each, all different ("grade 2", "0 clear"), or by the words of ``SEVERITY``.
    """
    names = sorted(names)
    numbers = [[int(n) for n in re.findall(r"\d+", name)] for name in names]
    if all(len(found) == 1 for found in numbers) and len({found[0] for found in numbers}) == len(names):
        return tuple(sorted(names, key=lambda name: numbers[names.index(name)]))
    words = [re.sub(r"[\W_]+", " ", name).strip().casefold() for name in names]
    if set(words) <= set(SEVERITY) and len(set(words)) == len(words):
        return tuple(sorted(names, key=lambda name: SEVERITY.index(words[names.index(name)])))
    return ()


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The names by grade where they say it, else in alphabetical order."""
    names = list(names)
    return by_grade(names) or tuple(sorted(names))


def matched(table: pd.DataFrame, classes: Sequence[str], ignore_unknown: bool) -> pd.DataFrame:
    """The table with labels spelt as a model's classes; rows with another label are left out where ``ignore_unknown``.

    Raises DataError naming the other labels where it is not.
    """
    spelling = {name.casefold(): name for name in classes}
    labels = table["label"].map(lambda label: _spelt(label, spelling), na_action="ignore")
    strange = labels[labels.notna() & ~labels.isin(classes)].value_counts()
    if len(strange) and not ignore_unknown:
        listed = ", ".join(f"{name} ({n:,} image{'s' * (n > 1)})" for name, n in strange.items())
        raise DataError(
            f"The model does not know the label {listed}. It knows: {', '.join(classes)}. "
            "Rename with --map old=new, or leave these images out with --ignore-unknown."
        )
    return table.assign(label=labels)[~labels.isin(strange.index)].reset_index(drop=True)


@cache
def malignant() -> dict[str, bool]:
    """Class names (lower case) and whether they are malignant, by every label map onto malignant and benign; a class on which
    maps differ (actinic keratosis, a precursor) is held malignant."""
    kinds = {"malignant": True, "benign": False}
    for mapping in (make() for _, make in label_maps.items()):
        if set(mapping.values()) == {"malignant", "benign"}:
            for name, kind in mapping.items():
                kinds[name.lower()] = kinds.get(name.lower(), False) or kind == "malignant"
    return kinds


def _spelt(name: str, spelling: Mapping[str, str]) -> str:
    return spelling.get(name.casefold(), name)


def _shipped(name: str, spelling: Mapping[str, str]) -> dict[str, str]:
    if name not in label_maps:
        raise DataError(f"{unknown('label map', name, label_maps)} Or give --map old=new.")
    known = {old.casefold(): new for old, new in label_maps[name]().items()}
    left = sorted(label for key, label in spelling.items() if key not in known)
    if left:
        raise DataError(
            f"The label map {name} does not say what becomes of {', '.join(map(repr, left))}; "
            f"it knows {', '.join(sorted(label_maps[name]()))}. "
            f"Choose another map, or name these too: --map {name},{left[0]}=NEW"
        )
    return {label: known[key] for key, label in spelling.items()}


@label_maps.register("ham10000-binary")
def ham10000_binary() -> Mapping[str, str]:
    """HAM10000's seven classes: akiec, bcc and mel are malignant, the other four benign.

    Tschandl et al. 2018 (doi:10.1038/sdata.2018.161) define akiec as actinic keratoses and Bowen's disease: intraepithelial
    carcinoma, which is commonly counted as malignant, though an actinic keratosis alone is a precursor.
    """
    return dict.fromkeys(("akiec", "bcc", "mel"), "malignant") | dict.fromkeys(("bkl", "df", "nv", "vasc"), "benign")


@label_maps.register("isic2019-binary")
def isic2019_binary() -> Mapping[str, str]:
    """ISIC 2019's eight classes: MEL, BCC and SCC are malignant, AK (a precursor) and the other four benign.

    The convention of the study shipped as S1: its test set has 1,412 malignant of 4,221 images, a share of .3345, which is that of
    MEL + BCC + SCC in the whole collection (8,473 of 25,331); with AK it would be .3687.
    """
    return dict.fromkeys(("MEL", "BCC", "SCC"), "malignant") | dict.fromkeys(("NV", "AK", "BKL", "DF", "VASC"), "benign")


@label_maps.register("isic2019-binary-ak")
def isic2019_binary_ak() -> Mapping[str, str]:
    """As isic2019-binary, but with AK malignant: what agrees with ham10000-binary, whose akiec holds actinic keratoses."""
    return {**isic2019_binary(), "AK": "malignant"}


@label_maps.register("ham-from-isic2019")
def ham_from_isic2019() -> Mapping[str, str]:
    """ISIC 2019's eight classes as HAM10000's seven: AK and SCC together are akiec.

    In the HAM10000 part of ISIC 2019 the 327 akiec are 130 AK and 197 SCC (Bowen's disease is squamous cell carcinoma in situ); an
    invasive SCC of another source has no class of its own in HAM10000.
    """
    return {"MEL": "mel", "NV": "nv", "BCC": "bcc", "AK": "akiec", "SCC": "akiec", "BKL": "bkl", "DF": "df", "VASC": "vasc"}


@label_maps.register("ham-from-isic-archive")
def ham_from_isic_archive() -> Mapping[str, str]:
    """The ISIC archive's diagnoses of the HAM10000 and ISIC 2018 images as HAM10000's seven classes."""
    return {
        "melanoma": "mel",
        "nevus": "nv",
        "basal cell carcinoma": "bcc",
        "actinic keratosis": "akiec",
        "squamous cell carcinoma": "akiec",
        "pigmented benign keratosis": "bkl",
        "dermatofibroma": "df",
        "vascular lesion": "vasc",
    }


@label_maps.register("pad-to-ham")
def pad_to_ham() -> Mapping[str, str]:
    """PAD-UFES-20's six classes as HAM10000's; df and vasc do not occur there.

    Pacheco et al. 2020 (doi:10.1016/j.dib.2020.106221) count Bowen's disease as SCC; seborrheic keratosis is part of bkl.
    """
    return {"ACK": "akiec", "SCC": "akiec", "BCC": "bcc", "NEV": "nv", "SEK": "bkl", "MEL": "mel"}
