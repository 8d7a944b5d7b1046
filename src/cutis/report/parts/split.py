"""The proof of the split: what was looked for, and whether anything of training is in validation or test."""

from typing import Any

from markupsafe import Markup

from cutis.report import blocks, words
from cutis.report.context import Context, Part, parts


@parts.register("20 split")
def split(context: Context) -> Part | None:
    """How the rows were divided, and what the proof found."""
    told = context.provenance.get("split")
    if not told:
        return None
    proof = told.get("proof")
    if not proof:
        return Part("The split and its proof", f"Divided {told['how']}; no proof was kept.")
    found = {
        f"{proof['kind']}s in more than one part": _found(proof["crossing_groups"], proof["crossing_group_images"]),
        "identical pictures across parts": f"{proof['crossing_identical']:,}",
        "identical pictures with two labels": f"{proof['identical_with_two_labels']:,}",
        "images whose pixels were not compared": f"{proof['unhashed']:,}",
    }
    parts_ = ", ".join(f"{name} {n:,}" for name, n in proof["parts"].items())
    body = [blocks.facts({"divided": told["how"], "images": parts_, **found}), *_crossing(proof), *_examples(proof)]
    return Part("The split and its proof", sentence(proof), body)


def sentence(proof: dict[str, Any]) -> str:
    """What the proof found, in one sentence."""
    if proof["ok"]:
        seen = "no identical picture" if not proof["unhashed"] else "no identical picture among those compared"
        return f"The split is clean: no {proof['kind']} and {seen} is in more than one part."
    return "The split leaks. " + " ".join(proof["leaks"])


def _found(groups: int, images: int) -> str:
    return f"{groups:,} ({words.count(images, 'image')})" if groups else "0"


def _crossing(proof: dict[str, Any]) -> list[Markup]:
    """Of each class, how many test and validation images have their like elsewhere; only where something crosses."""
    if proof["ok"]:
        return []
    columns = ["class", "test images", "with like in train", "with like in val", "val images", "with like in train"]
    keys = (("test", "test_in_train"), ("test", "test_in_val"), ("val", "val_in_train"))
    rows = []
    for name, n in proof["classes"].items():
        cells = [f"{n[like]:,} ({words.per_cent(n[like] / n[whole])})" if n[whole] else "0" for whole, like in keys]
        rows.append([name, f"{n['test']:,}", cells[0], cells[1], f"{n['val']:,}", cells[2]])
    return [blocks.table("What leaks, by class", columns, rows)]


def _examples(proof: dict[str, Any]) -> list[Markup]:
    shown = proof.get("examples", {})
    lines = [", ".join(shown["groups"])] if shown.get("groups") else []
    lines += [" = ".join(same) for same in (*shown.get("identical", []), *shown.get("two_labels", []))]
    return [blocks.fold("Examples", blocks.items(lines))] if lines else []
