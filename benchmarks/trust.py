"""What can be believed of a model trained on real images: its comparison, calibration, decisions, groups, scope and heat maps.

``python -m benchmarks.trust RUN --compare COMPARE.json ... [--write docs/results/trust.md]`` after the commands that the page begins with:
it reads ``metrics.json``, ``fitted.json``, ``scope.json`` and ``explanation.json`` of RUN, and makes its report anew, on the clock.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cutis import machine
from cutis.files import read_json
from cutis.report import verdicts, words
from cutis.runs import Run
from cutis.tabular import Table, as_markdown

DATA = "$CUTIS_DATA"
COMMANDS = f"""DATA={DATA}/isic2018/HAM10000_metadata.csv SPLIT={DATA}/isic2018/dermamnist_splits.csv:split_corrected
cutis train $DATA --split $SPLIT --recipe ham10000-finetune --out finetune
cutis train $DATA --split $SPLIT --recipe ham10000-probe8 --out probe8
cutis evaluate finetune {DATA}/isic2018/ISIC2018_Task3_Test_GroundTruth.csv --name external      # and probe8
cutis compare finetune probe8 --set test --out test;  cutis compare finetune probe8 --set external --out external
cutis scope finetune;  cutis scope finetune {DATA}/pad_ufes20/images --name pad
cutis explain finetune --masks {DATA}/isic2018/lesion_masks_75x100.npz --images 200 --changed 24
cutis report finetune"""
LIMITS = {"seconds": 60, "MB": 10}
FIGURE = "balanced_accuracy"
RULES = {"answered": "most probable class", "plain": "plain threshold", "guaranteed": "guaranteed threshold"}


def main() -> None:
    """Read, time the report, print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("--compare", type=Path, nargs="+", required=True)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "cutis", "report", str(chosen.run)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    text = page(Run.open(chosen.run), [read_json(path) for path in chosen.compare], seconds)
    print(text)
    if chosen.write:
        chosen.write.write_text(text, "utf-8")


def page(run: Run, comparisons: Sequence[Any], seconds: float) -> str:
    """The whole page as Markdown."""
    metrics, fitted = run.metrics, run.fitted
    sets = [name for name in metrics if name != "val"]
    size = (run.folder / "report.html").stat().st_size / 1e6
    here = machine.describe()
    parts = [
        f"# What can be believed of a fine-tuned MobileNetV2\n\nMade by `python -m benchmarks.trust`.\n\n```\n{COMMANDS}\n```",
        f"Machine: {here['cpu']}, {here['cores']} cores, {here['memory_gb']} GB, no GPU. Seed {run.recipe.seed}. "
        f"Date: {time.strftime('%Y-%m-%d')}. Everything that is fitted is fitted on the {fitted['n']:,} validation images "
        f"({fitted['groups']:,} lesions); `external` are the 1,512 test images of ISIC 2018, partly of other clinics, on which "
        "nothing is chosen.",
        f"The report of the run: {seconds:.0f} s (limit {LIMITS['seconds']}), {size:.1f} MB (limit {LIMITS['MB']})"
        f"{'' if seconds < LIMITS['seconds'] and size < LIMITS['MB'] else ': **above the limit**'}.",
        *section("Two runs compared", *(comparison(told) for told in comparisons)),
        *section("Calibration, before and after", calibration(metrics, sets), text=calibrated(fitted)),
        *section("Finding the malignant", decisions(metrics, fitted, sets), text=DECIDED),
        *section("Answering less", coverage_risk(metrics, sets), text=answering(metrics, sets)),
        *section("Prediction sets", conformal(metrics, sets, fitted["conformal"]["coverage"])),
        *section("For whom", groups(metrics["test"]["slices"])),
        *explained(run.folder),
    ]
    return "\n\n".join(parts) + "\n"


def section(title: str, *tables: Table | None, text: str = "") -> list[str]:
    """Heading, sentence and tables; nothing where there is no table."""
    shown = ["\n".join(as_markdown(table)) for table in tables if table]
    return [f"## {title}", *([text] if text else []), *shown] if shown else []


def comparison(told: Mapping[str, Any]) -> Table:
    """Each figure of two runs on a set."""
    pair = told["pairs"][0]
    rows = [
        (
            f"{words.label(name)}, {told['set']} ({told['n']:,})",
            *(words.figure(run["figures"][name]) for run in told["runs"]),
            words.figure(found),
            words.p_value(found["p_holm"]),
            verdicts.said(told, pair, name),
        )
        for name, found in pair["figures"].items()
    ]
    return Table("", ("figure, set", *(run["name"] for run in told["runs"]), "difference", "p, Holm", ""), rows, ("",))


def calibration(metrics: Any, sets: Iterable[str]) -> Table:
    """Log loss, Brier score and calibration error, before and after."""
    rows = [
        (
            f"{words.label(name)}, {at}",
            words.figure(of["before"][name]),
            words.figure(of["after"][name]),
            words.figure(of["difference"][name]),
        )
        for at in sets
        for of in [metrics[at]["after"]["calibration"]]
        for name in of["before"]
    ]
    return Table("", ("figure, set", "before", "after", "difference"), rows)


def calibrated(fitted: Any) -> str:
    """What was fitted."""
    told = fitted["calibration"]
    return f"Temperature {told['temperature']:.3f} [{told['low']:.3f}, {told['high']:.3f}]; no answer changes its class."


DECIDED = (
    "Thresholds are chosen on validation so that 90 % of the watched class are found: `plain` finds as many there, `guaranteed` is low "
    "enough that its lower confidence limit does. Where validation has too few images to promise anything, no threshold is guaranteed."
)


def decisions(metrics: Any, fitted: Any, sets: Sequence[str]) -> Table:
    """Each question and rule: what the threshold found on validation, and what it reached elsewhere."""
    rows = []
    for k, question in enumerate(fitted["decisions"]["questions"]):
        for rule, title in RULES.items():
            told = question.get(rule, {})
            if rule in question and "threshold" not in told:
                rows.append((" or ".join(question["classes"]), title, told["why"], *[""] * (2 * len(sets))))
                continue
            on_val = f"{words.number(told['threshold'])} (found there {words.number(told['sensitivity'])})" if told else ""
            reached = [metrics[at]["after"]["decisions"]["questions"][k][rule] for at in sets]
            cells = [words.figure(of[rate]) for of in reached for rate in ("sensitivity", "specificity")]
            rows.append((" or ".join(question["classes"]), title, on_val, *cells))
    columns = [f"{rate}, {at}" for at in sets for rate in ("sensitivity", "specificity")]
    return Table("", ("class", "rule", "threshold, on validation", *columns), rows, ("rule", "threshold, on validation"))


def coverage_risk(metrics: Any, sets: Iterable[str]) -> Table:
    """Accuracy where only the surer answers are given, limits from validation."""
    rows = [
        (f"{words.per_cent(at['coverage'])} on validation", name, words.figure(at["answered"]), words.figure(at["accuracy"]))
        for name in sets
        for at in metrics[name]["after"]["selective"]["at"]
    ]
    return Table("", ("answer so many", "set", "answered there", "accuracy of these"), rows, ("set",))


def answering(metrics: Any, sets: Iterable[str]) -> str:
    """The areas under the risk-coverage curves."""
    told = {name: metrics[name]["after"]["selective"] for name in sets}
    return " ".join(
        f"On {name} {words.per_cent(of['error']['value'])} are wrong when all are answered; area under the risk-coverage curve "
        f"{words.figure(of['area'])}, above the best possible order {words.figure(of['excess'])}."
        for name, of in told.items()
    )


def conformal(metrics: Any, sets: Sequence[str], promised: float) -> Table:
    """How often a set holds the true class, and how many classes it has."""
    rows = [
        (rule, name, f"{promised:.2f}", words.figure(of["coverage"]), words.figure(of["size"]))
        for name in sets
        for rule, of in metrics[name]["after"]["conformal"]["rules"].items()
    ]
    return Table("", ("rule", "set", "promised", "holds the true class", "classes in it"), rows, ("set",))


def groups(slices: Any) -> Table:
    """The headline figure in each group, and the gap to the rest."""
    rows = []
    for way in slices["by"].values():
        for name, told in way["groups"].items():
            found = told.get("figures", {}).get(FIGURE)
            gap = (found or {}).get("gap") or {}
            known = gap.get("value") is not None
            rows.append(
                (
                    f"{way['title']}: {name}",
                    f"{told['n']:,}",
                    words.figure(found) if found else "too few to say",
                    words.figure(gap) if known else "",
                    words.p_value(gap["p_holm"]) if known else "",
                )
            )
    return Table("", ("group, test", "images", words.label(FIGURE), "gap to the rest", "p, Holm"), rows)


def explained(folder: Path) -> list[str]:
    """What is refused as out of scope, and what the heat maps rest on."""
    scope, told = read_json(folder / "scope.json"), read_json(folder / "explanation.json")
    limits = scope["fitted"]["limits"]
    rows = [
        (name, f"{of['n']:,}", *(f"{words.figure(of['scores'][score]['refused'])}" for score in limits))
        for name, of in scope["sets"].items()
    ]
    refused = Table("", ("set", "images", *(f"refused by {score}" for score in limits)), rows)
    text = f"Limits let {scope['in_scope']:.0%} of the validation images pass; `{scope['by']}` decides."
    inside, faithful = told["inside"], told["faithfulness"]
    sides = {"all": inside} | inside["by"]
    lying = [
        (
            name,
            f"{of['n']:,}",
            *(words.figure(of[f"share{base}"]) for base in ("", "_centre", "_random")),
            words.figure(of["share_over_centre"]),
        )
        for name, of in sides.items()
    ]
    pointing = [(name, *(words.figure(of[f"pointing{base}"]) for base in ("", "_centre", "_random"))) for name, of in sides.items()]
    heat = Table("", ("images", "n", "heat inside the lesion", "centre Gaussian", "random map", "more than the centre"), lying)
    peak = Table("", ("images", "peak inside the lesion", "centre Gaussian", "random map"), pointing)
    names = (
        "insertion",
        "insertion_random",
        "insertion_over_random",
        "deletion",
        "deletion_random",
        "deletion_under_random",
        "road",
        "stability",
    )
    areas = Table("", ("measure", f"{faithful['n']} images"), [(words.label(name), words.figure(faithful[name])) for name in names])
    noise = Table(
        "",
        ("weights made noise", "likeness to the real map"),
        [(stage, words.figure(of)) for stage, of in faithful["noise"].items()],
    )
    verdict = {True: "passed", False: "**not passed**", None: "cannot be told"}[faithful["passed"]]
    sane = f"Sanity check (maps must change when the weights are noise; likeness below {faithful['limit']}): {verdict}."
    return [
        *section("Out of scope", refused, text=text),
        *section(f"What it looks at ({told['method']}, {told['n']} test images with masks)", heat, peak),
        *section("Whether the maps can be believed", areas, noise, text=sane),
    ]


if __name__ == "__main__":
    main()
