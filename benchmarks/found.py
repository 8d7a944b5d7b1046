"""What a genetic search on real features found, from its run folder; writes docs/results/search.md.

``python -m benchmarks.found RUN --seconds WALL [--write docs/results/search.md]`` after the ``cutis search`` whose command stands in RUN;
WALL is what the whole command took on the clock, which the run itself does not keep.
"""

import argparse
import os
from pathlib import Path

import pandas as pd

from cutis.files import read_json
from cutis.report import words
from cutis.report.parts.ensemble import signed
from cutis.report.search_figures import genes
from cutis.runs import Run
from cutis.tabular import Table, as_markdown


def main() -> None:
    """Read the run, print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    text = page(Run.open(chosen.run), chosen.seconds)
    print(text)
    if chosen.write:
        chosen.write.write_text(text, "utf-8")


def page(run: Run, seconds: float) -> str:
    """The whole page as Markdown."""
    told, about = read_json(run.folder / "search.json"), run.provenance
    rows, machine = pd.read_csv(run.folder / "search.csv"), about["machine"]
    importance, among = told["importance"], told["rows"]
    layers = sum(importance[name] for name in ("layers", "units_1", "units_2"))
    judged, label = told["judged"], words.label(told["metric"])
    command = about["command"].replace(os.environ["CUTIS_DATA"].rstrip("/"), "$CUTIS_DATA").replace(str(run.folder), "search")
    generations = rows.groupby("generation")["value"]
    parts = Table(
        f"{label} where the winner was chosen and where it was not",
        ("head", "chosen on", "unseen groups", "optimism"),
        [
            (title, *(words.figure(judged[side][at]) for at in ("val", "judge")), signed(judged[side]["optimism"]))
            for side, title in (("found", "the winner"), ("published", "the published choice: 112 units, dropout .30, rate 1e-4"))
        ],
    )
    tests = Table(
        "", ("test images, winner less published choice", "difference"), [(words.label(n), signed(d)) for n, d in told["test"].items()]
    )
    own, rival = (r.metrics["test"] for r in (run, Run(run.folder / "published")))
    figures = Table(
        "",
        ("test images", "the winner", "the published choice", "majority line"),
        [(words.label(n), *(words.figure(s[n]) for s in (own, rival)), words.number(own["baseline"][n]["value"])) for n in told["test"]],
    )
    lines = [
        "# Genetic search on kept features of real images",
        "",
        f"Made by `python -m benchmarks.found`. HAM10000, {about['model']['backbone']} with ImageNet weights, frozen; "
        f"{len(rows):,} candidates in {rows['generation'].nunique()} generations, seed {run.recipe.seed}.",
        "",
        "```",
        command,
        "```",
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, no GPU. Date: {about['finished'][:10]}. "
        f"The whole command took {words.duration(seconds)} (limit: 20 min), while tests of others ran beside it.",
        "",
        f"Candidates train on {among['train']['n']:,} images, are chosen on {among['val']['n']:,}, and the winner is judged on "
        f"{among['judge']['n']:,} images of {among['judge']['groups']:,} groups that the search never saw. "
        f"Best of the first generation {generations.max().iloc[0]:.3f}, of all {rows['value'].max():.3f}.",
        "",
        f"The winner: {', '.join(f'{k} {v}' for k, v in genes(told['best']['genes']).items())}.",
        "",
        *as_markdown(parts),
        "",
        f"On the unseen groups the winner less the published choice, paired: {signed(judged['difference'])}.",
        "",
        *as_markdown(tests),
        "",
        *as_markdown(figures),
        "",
        "The published choice weighs all classes alike; the search may weigh them, and maximises balanced accuracy: what it gains there "
        f"it pays for in accuracy. Of what spreads the candidates {words.per_cent(importance['lr'])} is the rate, and "
        f"{words.per_cent(layers)} the number of layers and their units.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
