"""What an audit of real images found, from its audit.json; writes docs/results/audit.md.

``python -m benchmarks.audited AUDIT --warm SECONDS --cold SECONDS --memory MB [--write docs/results/audit.md]`` after the ``cutis audit``
whose command stands in AUDIT; the clock and the memory of the two runs (features kept, and nothing kept) are measured outside.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cutis import machine
from cutis.files import read_json
from cutis.report import words
from cutis.tabular import Table, as_markdown

SURE, ALIKE = "near-copies-different-groups", "alike-under-different-lesions"


def main() -> None:
    """Read the audit, print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("audit", type=Path)
    parser.add_argument("--warm", type=float, required=True)
    parser.add_argument("--cold", type=float, required=True)
    parser.add_argument("--memory", type=float, required=True, help="the most anonymous memory of both runs, in MB")
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    text = page(read_json(chosen.audit / "audit.json"), chosen.audit, chosen.warm, chosen.cold, chosen.memory)
    print(text)
    if chosen.write:
        chosen.write.write_text(text, "utf-8")


def count(found: Sequence[Any], kind: str) -> int:
    """How many images the findings of a kind name."""
    return sum(f["images"] for f in found if f["kind"] == kind)


def page(told: Any, folder: Path, warm: float, cold: float, memory: float) -> str:
    """The whole page as Markdown."""
    command = told["command"].replace(os.environ["CUTIS_DATA"].rstrip("/"), "$CUTIS_DATA").replace(str(folder), "audit")
    here = machine.describe()
    found = [f for section in told["sections"].values() for f in section["findings"]]
    rows = [(f["severity"], f["kind"], f"{f['images']:,}", f["sentence"]) for f in found]
    times = [(name, f"{section['seconds']:.0f}") for name, section in told["sections"].items()]
    lines = [
        "# Audit of HAM10000 under DermaMNIST's official split",
        "",
        "Made by `python -m benchmarks.audited`.",
        "",
        "```",
        command,
        "```",
        "",
        f"Machine: {here['cpu']}, {here['cores']} cores, {here['memory_gb']} GB, no GPU. Date: {told['finished'][:10]}. On the clock "
        f"{words.duration(warm)} with pictures and features kept, {words.duration(cold)} from nothing (limit: 5 min), both while tests ran "
        f"beside it; at most {memory:,.0f} MB of anonymous memory (limit: 2,000).",
        "",
        *as_markdown(Table("", ("severity", "kind", "images", "finding"), rows, ("kind", "finding"))),
        "",
        f"Of the pairs under different lesions {count(found, SURE)} images are in sets called copies and {count(found, ALIKE)} in "
        "look-alike pairs. What they show when looked at as pictures stands in the log; the 18 pairs known of this collection are not at "
        "hand as a list.",
        "",
        *as_markdown(Table("", ("part", "seconds, all kept"), times)),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
