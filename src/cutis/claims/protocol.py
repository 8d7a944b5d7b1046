"""How a figure was made, as far as the publication says it: what chose the model, what was drawn when, how many runs there were."""

from collections.abc import Iterator
from math import sqrt

from cutis.claims import seen
from cutis.claims.finding import Finding, rules
from cutis.claims.table import Claim, Model

REPORTING = "CLAIM 2024 (Tejani et al.), doi:10.1148/ryai.240300"


@rules.register("chosen-on-test")
def chosen_on_test(claim: Claim) -> Iterator[Finding]:
    """A model, epoch or setting chosen on the images it is reported on."""
    for models in seen.sets(claim):
        looked = [model for model in models if _on_itself(model)]
        if not looked:
            continue
        best = max(looked, key=lambda model: model.accuracy.value if model.accuracy else -1)
        n, share = seen.images(claim, best), float(best.accuracy.value) if best.accuracy else 0
        arithmetic = "the best of 10 equally good, independent models lies 1.54 standard errors above their mean"
        if n and 0 < share < 1:
            error = sqrt(share * (1 - share) / n)
            arithmetic += f"; one is sqrt({share:.4f} x {1 - share:.4f} / {n:,}) = {error:.4f}, so +{1.54 * error:.3f}"
        yield Finding(
            "weak",
            "chosen-on-test",
            f"{seen.listed(model.name for model in looked)} on {best.on}",
            f"Epoch or settings were chosen on {best.on}, the images the figure is reported on: it is the best of several looks.",
            arithmetic,
            "Expected maximum of 10 normal variables; Cawley & Talbot 2010, JMLR 11:2079",
            "The same choice made on validation, and the test images answered once.",
        )


def _on_itself(model: Model) -> bool:
    chosen = model.selected_on.casefold()
    return bool(chosen) and (chosen == model.on.casefold() or (chosen.startswith("test") and seen.on(model, "test")))


@rules.register("compared-on-other-images")
def compared_on_other_images(claim: Claim) -> Iterator[Finding]:
    """A comparison whose sides were not measured on one set."""
    apart: dict[tuple[str, str, str], list[str]] = {}
    for pair in claim.pairs:
        worse, better = ({m.on for m in claim.models if m.name == name} for name in (pair.worse, pair.better))
        if not worse & better:
            apart.setdefault((pair.better, " and ".join(sorted(better)), " and ".join(sorted(worse))), []).append(pair.worse)
    for (better_name, there, here), names in apart.items():
        yield Finding(
            "weak",
            "compared-on-other-images",
            f"{better_name} against {seen.listed(names)}",
            f"{better_name} is measured on {there}, {seen.listed(names)} on {here}: the gain cannot be told from the difference of the "
            "sets.",
            f"{there} is not {here}: images in both are not stated",
            REPORTING,
            "All on the same test images, with a paired test (McNemar).",
        )


@rules.register("drawn-before-split")
def drawn_before_split(claim: Claim) -> Iterator[Finding]:
    """Classes brought to one size before the split, which puts copies on both sides."""
    if claim.resampled == "before split":
        yield Finding(
            "weak",
            "drawn-before-split",
            "the data",
            "Images were drawn again before the split: copies of one image stand in training and in test, and the test figure counts what "
            "is remembered.",
            "a class of 1,000 drawn to 3,000, then a fifth held out: 1 - (1 - 0.8 / 1,000)^2,999 = 91 % of its test images are in training",
            "Kapoor & Narayanan 2023, Leakage and the reproducibility crisis, doi:10.1016/j.patter.2023.100804",
            "The split first, then the drawing, among training images only.",
        )


@rules.register("split-by-image")
def split_by_image(claim: Claim) -> Iterator[Finding]:
    """A split that keeps nothing together, or does not say what it keeps."""
    if claim.split in ("image", ""):
        said = "was made image by image" if claim.split else "does not say what it keeps together"
        yield Finding(
            "weak" if claim.split else "note",
            "split-by-image",
            "the data",
            f"The split {said}: photos of one lesion or person may stand in training and in test.",
            "HAM10000, split so: 35 % of the test images have their lesion in training, of the melanomas 61 %",
            "Counted on HAM10000 (10,015 images, 7,470 lesions; Tschandl et al. 2018, doi:10.1038/sdata.2018.161); CLAIM 2024",
            "The split by lesion or patient, and the figure on it.",
        )


@rules.register("one-seed")
def one_seed(claim: Claim) -> Iterator[Finding]:
    """Figures of a single run, or of an unstated number of runs."""
    with_figures = [claim.complete(model) for model in claim.models if model.figures or model.per_class or model.confusion]
    once = [model for model in with_figures if model.seeds == 1 and not model.folds]
    silent = [model for model in with_figures if not model.seeds and not model.folds]
    for models, said in ((once, "come from one run"), (silent, "come from an unstated number of runs")):
        if models:
            yield Finding(
                "weak" if models is once else "note",
                "one-seed",
                seen.listed(model.name for model in models),
                f"The figures {said}: what another seed would change is not known.",
                "standard deviation over runs = sqrt(sum of squares / (runs - 1)): with 1 run 0 / 0",
                "Bouthillier et al. 2021, Accounting for variance in machine learning benchmarks, MLSys 3:747",
                "Three seeds or more, and their spread.",
            )


@rules.register("no-figure")
def no_figure(claim: Claim) -> Iterator[Finding]:
    """Models without any figure."""
    bare = [model.name for model in claim.models if not (model.figures or model.per_class or model.confusion)]
    if bare:
        yield Finding(
            "weak",
            "no-figure",
            seen.listed(bare),
            "No figure is printed: there is nothing that could be checked or believed.",
            f"0 figures for {len(bare)} of {len(claim.models)} models",
            REPORTING,
            "A confusion matrix on the test images.",
        )
