"""Mending a table by rules that the user chooses: a new CSV that can be trained on, and a log of every change; images stay as they are."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from cutis.audit.findings import Finding, Section
from cutis.data.table import connected
from cutis.errors import CutisError
from cutis.files import FORMULA, write_csv
from cutis.registry import Registry

LOG: Final = ("image", "rule", "change", "reason")


@dataclass(frozen=True)
class Case:
    """What a rule decides on: the rows that earlier rules have left, what the audit found, and the number after the rule's name."""

    table: pd.DataFrame
    findings: Sequence[Finding]
    most: int | None = None

    def named(self, rule: str) -> Iterator[Finding]:
        """The findings that this rule mends."""
        return (finding for finding in self.findings if finding.rule == rule)

    def sets(self) -> list[pd.DataFrame]:
        """The rows of each set of copies, in the order of the table; sets that share an image are one."""
        found = [item for rule in ("copies", "conflicting") for finding in self.named(rule) for item in finding.items]
        pairs = [(image, str(n)) for n, item in enumerate(found) for image in item.images]
        links = pd.DataFrame(pairs, columns=["image", "set"], dtype="str")
        links = links[links["image"].isin(self.table["image"])].reset_index(drop=True)
        if links.empty:
            return []
        number = links.assign(number=connected(links, ("image", "set"))).drop_duplicates("image").set_index("image")["number"]
        rows = self.table.assign(number=self.table["image"].map(number)).dropna(subset="number")
        return [same.drop(columns="number") for _, same in rows.groupby("number", sort=False) if len(same) > 1]


Change = tuple[str, str, str]
"""An image, what becomes of it (empty: it is left out; else its new group), and why."""


@dataclass(frozen=True)
class Rule:
    """``choose`` gives the changes; ``check``: whose findings it needs; ``counts``: whether a number stands after its name."""

    choose: Callable[[Case], Iterator[Change]]
    check: str
    counts: bool = False


leaving_out: Registry[Rule] = Registry("rule of --leave-out")
merging: Registry[Rule] = Registry("rule of --merge")


def _named(rule: str) -> Callable[[Case], Iterator[Change]]:
    """Every image that findings of this rule name."""

    def choose(case: Case) -> Iterator[Change]:
        for finding in case.named(rule):
            for item in finding.items:
                yield from ((image, "", item.note or finding.sentence) for image in item.images)

    return choose


for _rule in ("unreadable", "small", "odd-shape", "empty", "dark", "bright", "blurred"):
    leaving_out.register(_rule)(Rule(_named(_rule), "files"))


def _copies(case: Case) -> Iterator[Change]:
    """All but the first of each set of copies; where their labels differ, which one is right is not known, and all stay."""
    for same in case.sets():
        if same["label"].nunique() < 2:
            first = same["image"].iloc[0]
            yield from ((image, "", f"a copy of {first}, which is kept") for image in same["image"].iloc[1:])


def _conflicting(case: Case) -> Iterator[Change]:
    """Every copy where copies have different labels."""
    for same in case.sets():
        if same["label"].nunique() > 1:
            told = ", ".join(f"{row.image} is {row.label}" for row in same.dropna(subset="label").head(5).itertuples())
            yield from ((image, "", f"copies with different labels: {told}") for image in same["image"])


def _suspects(case: Case) -> Iterator[Change]:
    """The first so many of those whose label is doubted most."""
    ranked = [(finding, item) for finding in case.named("suspects") for item in finding.items]
    for place, (finding, item) in enumerate(ranked[: case.most], 1):
        score = f" ({finding.measure}: {item.score:.3g})" if item.score is not None else ""
        yield from ((image, "", f"suspect {place} of {len(ranked)}{score}{f': {item.note}' if item.note else ''}") for image in item.images)


leaving_out.register("copies")(Rule(_copies, "copies"))
leaving_out.register("conflicting")(Rule(_conflicting, "copies"))
leaving_out.register("suspects")(Rule(_suspects, "labels", counts=True))


def _joined(case: Case) -> Iterator[Change]:
    """One group for the groups of all copies, so that no split can part them; it bears the name of the first."""
    sets = case.sets()
    copies = pd.Series({image: n for n, same in enumerate(sets) for image in same["image"]}, dtype="float64")
    rows = case.table.assign(copies=case.table["image"].map(copies))
    number = connected(rows, ("group", "copies"))
    name = case.table["group"].groupby(number).transform("first")
    like = {image: next(other for other in same["image"] if other != image) for same in sets for image in same["image"]}
    for image, group, new in zip(case.table["image"], case.table["group"], name, strict=True):
        if group != new:
            yield image, new, f"a copy of {like[image]}" if image in like else f"of group {group}, an image of which has a copy in {new}"


merging.register("copies")(Rule(_joined, "copies"))


@dataclass(frozen=True)
class Mended:
    """What was written: the CSV, the log beside it, how many rows are kept, and how many each rule changed."""

    path: Path
    log: Path
    kept: int
    changed: Mapping[str, int]
    outside: Path | None
    """The folder that has to be allowed (``--allow-outside``) when the CSV is read, because images lie outside the CSV's folder."""


@dataclass(frozen=True)
class Plan:
    """Which rules are carried out, leaving out first, and where the result goes."""

    path: Path
    rules: tuple[tuple[str, Rule, int | None], ...]

    @classmethod
    def of(cls, path: Path, leave_out: Sequence[str], merge: Sequence[str], table: pd.DataFrame, checks: Sequence[str]) -> "Plan":
        """Refused, before any work, are unknown rules, rules without the check they need, and a file that is not ours to replace."""
        asked = [(f"leave-out {rule}", *_parsed(rule, leaving_out)) for rule in leave_out]
        asked += [(f"merge {rule}", *_parsed(rule, merging)) for rule in merge]
        if not asked:
            known = f"--leave-out {' '.join(leaving_out)}, --merge {' '.join(merging)}"
            raise CutisError(f"Say what to mend in {path}: {known}. Rules are repeatable; suspects takes a number, as in suspects:50.")
        for name, rule, _ in asked:
            if rule.check not in checks:
                raise CutisError(f"--{name} needs the check {rule.check!r}, which does not run. Leave --quick out, or add it to --only.")
        _writable(path, table)
        return cls(path, tuple(asked))

    def carry_out(self, table: pd.DataFrame, sections: Mapping[str, Section]) -> Mended:
        """Write the CSV and its log. Raises CutisError where nothing would be left."""
        findings = [finding for section in sections.values() for finding in section.findings]
        rows, log = table, []
        changed: dict[str, int] = {}
        for name, rule, most in self.rules:
            known = set(rows["image"])
            told = {image: (new, why) for image, new, why in rule.choose(Case(rows, findings, most)) if image in known}
            log += [(image, name, f"group {new}" if new else "left out", why) for image, (new, why) in told.items()]
            changed[name] = len(told)
            groups = rows["image"].map({image: new for image, (new, _) in told.items() if new})
            left = rows["image"].isin([image for image, (new, _) in told.items() if not new])
            rows = rows.assign(group=groups.where(groups.notna(), rows["group"]))[~left]
        if rows.empty:
            raise CutisError(f"These rules leave no image: nothing is written to {self.path}. Choose fewer of them.")
        images, outside = _placed(rows, Path(table.attrs["root"]), self.path)
        own = (rows["group"] == rows["image"]) & ~rows["group"].duplicated(keep=False)  # says no more than the name of the file
        cells = rows.assign(group=rows["group"].mask(own)).dropna(axis="columns", how="all").assign(image=images, label=rows["label"])
        write_csv(self.path, cells)
        write_csv(log_of(self.path), pd.DataFrame(log, columns=list(LOG), dtype="str"))
        return Mended(self.path, log_of(self.path), len(rows), changed, outside)


def log_of(path: Path) -> Path:
    """Where the log of a mended CSV lies."""
    return path.with_name(f"{path.stem}.changes.csv")


def _parsed(rule: str, known: Registry[Rule]) -> tuple[Rule, int | None]:
    name, colon, number = rule.partition(":")
    found = known[name]
    if found.counts != bool(colon) or (colon and not (number.isascii() and number.isdigit() and int(number))):
        form = f"{name}:50, with the number you mean" if found.counts else f"{name}, without a number"
        raise CutisError(f"The rule {rule!r} cannot be used. Write {form}.")
    return found, int(number) if colon else None


def _writable(path: Path, table: pd.DataFrame) -> None:
    if path.suffix.lower() != ".csv":
        raise CutisError(f"--write takes a CSV file, and {path} does not end in .csv.")
    given = [Path(file) for file in table.attrs["files"]]
    if path.exists() and any(file.exists() and path.samefile(file) for file in given):
        raise CutisError(f"{path} is the data themselves, which are never changed. Give --write another name.")
    if path.exists() and not log_of(path).is_file():
        raise CutisError(f"{path} exists and was not written by an audit. Give --write another name.")


def _placed(rows: pd.DataFrame, root: Path, path: Path) -> tuple[list[str], Path | None]:
    """Image names as they are found from the CSV's folder, and the folder to allow where they lie outside of it."""
    folder, real = os.path.realpath(path.parent), os.path.realpath(root)
    before = os.path.relpath(real, folder)
    names = rows["image"].tolist() if before == "." else [f"{before}/{image}" for image in rows["image"]]
    if before.startswith(".."):
        names = [os.path.normpath(name) for name in names]
    outside = Path(real) if any(name.startswith("../") for name in names) else None
    return [f"./{name}" if name.startswith(FORMULA) else name for name in names], outside
