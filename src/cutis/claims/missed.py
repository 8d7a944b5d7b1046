"""Which classes are missed: a sensitivity that is low, unreported or nowhere to be found, and accuracy that hides it."""

from collections.abc import Iterator

from cutis.claims import seen
from cutis.claims.chance import bracketed, limits
from cutis.claims.finding import Finding, rules
from cutis.claims.table import Claim, Model
from cutis.data.labels import malignant

STARD = "STARD 2015 (Bossuyt et al., doi:10.1136/bmj.h5527): sensitivity with its interval"
UNEVEN = 1.5  # largest class against smallest, from which on accuracy alone does not stand for all classes
LOW = 0.8  # sensitivity below which a class that matters is missed too often to pass over
EACH = ("balanced_accuracy", "recall_macro", "f1_macro", "recall", "f1")
"""Figures in which each class counts the same, or may."""


@rules.register("accuracy-under-imbalance")
def accuracy_under_imbalance(claim: Claim) -> Iterator[Finding]:
    """Accuracy as the only figure where classes differ in size."""
    for models in seen.sets(claim):
        alone = [m for m in models if m.accuracy and not (m.per_class or m.confusion or any(getattr(m, name) for name in EACH))]
        known = next((k for m in alone if (k := seen.sizes(claim, m)) and all(k.values())), None)
        if known and max(known.values()) >= UNEVEN * min(known.values()):
            most, least = seen.largest(known), min(known, key=lambda name: known[name])
            total = sum(known.values())
            yield Finding(
                "weak",
                "accuracy-under-imbalance",
                f"{seen.listed(m.name for m in alone)} on {alone[0].on}",
                f"Accuracy stands alone although {most} has {100 * known[most] / total:.0f} % of the images: "
                "a class may be missed wholly unseen.",
                f"{most} : {least} = {known[most]:,} : {known[least]:,}; "
                f"all {known[least]:,} of {least} wrong cost {known[least] / total:.4f} of accuracy",
                "Maier-Hein et al. 2024, Metrics reloaded, doi:10.1038/s41592-023-02151-z",
                "Balanced accuracy and the recall of each class, or the confusion matrix.",
            )


@rules.register("class-that-matters")
def class_that_matters(claim: Claim) -> Iterator[Finding]:
    """The sensitivity of classes that must not be missed where it is low, or to be read from the matrix alone."""
    for model, name in _mattering(claim):
        printed, share = seen.printed_recalls(claim, model).get(name), seen.recalls(claim, model).get(name)
        value = share.value if share else float(printed.value) if printed else 1.0
        if value < LOW or (share and not printed):
            yield _missed(model, name, value, share, printed is not None)


@rules.register("sensitivity-missing")
def sensitivity_missing(claim: Claim) -> Iterator[Finding]:
    """Classes that must not be missed whose sensitivity is neither printed nor to be counted."""
    silent: dict[str, list[str]] = {}
    for model, name in _mattering(claim):
        if name not in seen.printed_recalls(claim, model) and name not in seen.recalls(claim, model):
            silent.setdefault(name, []).append(model.name)
    for name, models in silent.items():
        yield Finding(
            "weak",
            "sensitivity-missing",
            seen.listed(models),
            f"How many images of {name} are found is not stated: accuracy cannot say it.",
            f"recall of {name}: given for 0 of {len(models)} rows",
            STARD,
            f"The sensitivity of {name} with its number of images.",
        )


def _mattering(claim: Claim) -> Iterator[tuple[Model, str]]:
    """Each model with figures on test images, and each of its classes that must not be missed: as given, else by its name."""
    for model in claim.models:
        if not seen.on(model, "val", "train") and (model.figures or model.per_class or model.confusion):
            for name in claim.classes_of(model):
                if name in claim.matters or (not claim.matters and malignant().get(name.casefold())):
                    yield model, name


def _missed(model: Model, name: str, value: float, share: seen.Share | None, reported: bool) -> Finding:
    said = "" if reported else ", which is not reported"
    if share is not None and share.low == share.high:
        low, high = limits(share.value, share.n)
        sentence = f"{share.n - share.low:,} of {share.n:,} images of {name} are missed{said}."
        arithmetic = f"recall {share.low:,} of {share.n:,} = {share.value:.3f} {bracketed(low, high)}"
    else:
        sentence = f"{100 * (1 - value):.0f} % of the images of {name} are missed{said}."
        arithmetic = f"1 - {value:.3f} = {1 - value:.3f}"
    return Finding(
        "weak",
        "class-that-matters",
        seen.where(model, f"recall of {name}"),
        sentence,
        f"{arithmetic}; {'below' if value < LOW else 'not below'} {LOW}",
        STARD,
        f"The sensitivity of {name} in the text, and the threshold it was read at.",
    )
