"""Acne severity in four grades with VGG16 (S0): three heads as described, and what grades that have an order ask for.

A frozen VGG16 with a small head (A), the same with spatial attention (B), EfficientNet-B0 in place of VGG16 (C). No figures were
published, so the arms are compared with one another, all on the same images. Ours are what the publication names and leaves untreated:
A at 448 pixels (lesion detail is lost by pooling), A with colour and brightness jitter (light and cameras differ), and D, A with a loss
that knows the order of the grades, as a cumulative link and as label distributions. Quadratic-weighted kappa and mean absolute error
judge them; both take the order of the grades from their names.

    cutis study run acne-severity --data ACNE04 --scale cpu --out acne-severity

Cost: every backbone is frozen, so its images pass through it once for each arm (eight times with jitter); half an hour on
two cores is expected for 1,500 images. Expect A, B and C within each other's intervals, a gain in kappa rather than in accuracy from D.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.data.labels import SEVERITY, by_grade
from cutis.errors import DataError
from cutis.recipe import Images, Model, Recipe, Split, Stage, Train
from cutis.recipes import acne_severity as jitter
from cutis.studies.catalog import Given, Pair, Scale, Study, Subset, Tables, Trained, studies

FIGURES = ("accuracy", "balanced_accuracy", "kappa_quadratic", "mean_absolute_error")
HEAD = ("avgpool", "dense:128", "relu")


def variant_a() -> Recipe:
    """VGG16 without its top, frozen; global average pooling, 128 units, four grades."""
    return Recipe(
        assumptions=("images.fit", "split", "model.scaling", "augment", "train.batch_size", "stages.0.restore_best", "stages.0.monitor"),
        images=Images(size=224, fit="squash"),
        split=Split(test=0.2, val=0.1),
        model=Model(backbone="vgg16.tv_in1k", head=HEAD),
        stages=(Stage(epochs=50, train="head", lr=1e-4, optimizer="adam"),),
        train=Train(batch_size=32),
    )


def arm(name: str, title: str, changes: dict[str, Any], ours: bool = True) -> Trained:
    """Variant A with other values."""
    recipe = variant_a().changed(name=f"acne-severity-{name}", description=f"{title}.", **changes)
    return Trained(name=name, title=title, recipe=recipe, ours=ours, also=("external",))


def graded(given: Given, split: Split) -> Tables:
    """The usual tables. Raises DataError, before anything is trained, where the names of the grades say no order."""
    names = sorted(given.table["label"].dropna().unique())
    if not by_grade(names):
        raise DataError(
            f"The labels {', '.join(names)} do not say which grade is worse. Rename them so that each holds its number, for example "
            f"--map '{names[0]}=0 {names[0]}', or by the words {', '.join(SEVERITY)}."
        )
    own = {"": given.divided(split)}
    return own if given.external is None else own | {"external": given.external}


def tone(fitzpatrick: str) -> Subset:
    """The test images of one skin tone, where the data tell it."""

    def rows(table: pd.DataFrame) -> NDArray[np.bool_]:
        return np.asarray(table["skin_tone"] == fitzpatrick)

    return Subset(f"tone-{fitzpatrick}", f"Fitzpatrick {fitzpatrick}", rows)


ARMS = (
    arm("a", "A: VGG16", {}, ours=False),
    arm("b", "B: VGG16, spatial attention", {"model.head": ("attention:64", *HEAD)}, ours=False),
    arm("c", "C: EfficientNet-B0", {"model.backbone": "efficientnet_b0.ra_in1k", "stages.0.lr": 1e-3}, ours=False),
    arm("a-448", "A at 448 pixels", {"images.size": 448}),
    arm(
        "a-jitter", "A with jitter in eight versions of each image", {"augment": jitter(), "train.views": 8, "train.view_kind": "augmented"}
    ),
    arm("d-cumulative", "D: A with a cumulative link", {"loss.name": "cumulative"}),
    arm("d-distribution", "D: A with label distributions", {"loss.name": "label_distribution"}),
)


@studies.register("acne-severity")
def acne_severity() -> Study:
    """Four grades of acne: VGG16 with and without attention, EfficientNet-B0, and losses that know the order."""
    return Study(
        name="acne-severity",
        title="Acne severity with VGG16",
        paper="Acne severity in four grades from photographs of faces: a frozen VGG16 with a small head, the same with spatial attention, "
        "and EfficientNet-B0. It prints no figures.",
        needs="Photographs of faces in ordered grades whose names say the order, such as ACNE04 (1,457 images); persons where known.",
        kind="acne-severity",
        split=variant_a().split,
        tables=graded,
        arms=ARMS,
        pairs=tuple(
            Pair(later, earlier, FIGURES)
            for earlier, later in [
                *combinations(("a", "b", "c", "d-cumulative"), 2),
                *(("a", other) for other in ("a-448", "a-jitter", "d-distribution")),
                ("d-cumulative", "d-distribution"),
            ]
        ),
        subsets=tuple(tone(str(k)) for k in range(1, 7)),
        honest=(
            "A person's photographs stay on one side of the split where persons are known, and copies always do; ACNE04's published folds "
            "share both.",
            "Grades are ordered, so quadratic-weighted kappa and the mean absolute error in grades stand beside accuracy.",
            "Figures by skin tone are given where the data tell it; few images of a tone make wide intervals, not evidence of equality.",
            "Every arm ends with the weights of its best validation epoch; the publication does not say which it kept.",
        ),
        expects="A, B and C within each other's intervals: a frozen backbone decides most. D gains in kappa, if anywhere.",
        cpu=Scale("cpu", images=2000, test=500, replicates=1000, minutes=35),
        pages=("curves", "confusion"),
    )
