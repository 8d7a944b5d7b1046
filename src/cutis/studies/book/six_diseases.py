"""Six skin diseases with three fine-tuned networks and their weighted ensemble (S4).

MobileNetV2, EfficientNet-B1 and ResNet-50, all layers trained on 3,000 images a class, and .30 / .30 / .40 of their answers. The
publication scores the members on validation and the ensemble on test, so whether combining helped cannot be told. Here all answer the
same test images, and each ensemble is set beside each of its members. Ours are weights fitted on validation, greedy selection, mean
ranks and stacking, and the same over three MobileNetV2 that differ in how they were trained only.

    cutis study run six-diseases --data IMAGES --scale cpu --out six-diseases
    cutis study run six-diseases --data HAM10000 --split SPLIT.csv:split --from-scratch --scale cpu --out six-diseases

Cost: six networks fine-tuned for 30 epochs; at the scale cpu (3,000 images of 96 pixels, 5 epochs) 34 minutes of processor time, about 17
on two cores. It runs on any classes; the printed figures are comparable on its own six only. Expect a point or two over the best member,
and less from members that err alike.
"""

from itertools import zip_longest

import numpy as np

from cutis.evaluate.metrics import Rows, figures
from cutis.recipe import Balance, Images, Model, Recipe, Split, Stage, Train
from cutis.recipes import strong
from cutis.studies.catalog import Arm, Cell, Combined, Pair, Published, Scale, Study, Trained, studies

CLASSES = ("Enfeksiyonel", "Ekzama", "Akne", "Pigment", "Benign", "Malign")
CONFUSION = (
    (490, 101, 74, 60, 15, 10),
    (89, 334, 38, 41, 4, 4),
    (10, 1, 295, 15, 1, 0),
    (10, 10, 10, 106, 0, 0),
    (114, 20, 32, 43, 986, 166),
    (53, 21, 16, 23, 116, 620),
)
"""The ensemble's on test, as printed: rows true, columns answered."""

NORMED = ("batchnorm", "relu")
GAIN = ("accuracy", "balanced_accuracy", "f1_macro", "auroc_macro")
METHODS = ("mean", "fitted", "greedy", "rank", "stacking")
MEMBERS = ("mobilenetv2", "efficientnet-b1", "resnet50")
TRAININGS = ("plain", "rare", "strong")
SPLIT = "Train, validation and test by image, at random; 3,000 images a class drawn with replacement, possibly before the split."


def member(backbone: str, *head: str) -> Recipe:
    """A network fine-tuned on 3,000 images a class, its head on pooled features."""
    return Recipe(
        name=f"six-diseases-{backbone.partition('.')[0]}",
        description=f"{backbone.partition('.')[0]}, all layers, 3,000 images a class.",
        assumptions=(
            *("images.fit", "split", "augment", "train.batch_size"),
            *(f"stages.0.{field}" for field in ("epochs", "optimizer", "lr", "weight_decay", "schedule")),
        ),
        images=Images(size=224, fit="squash"),
        split=Split(test=0.11, val=0.11),
        balance=Balance(name="count", options={"count": 3000}),
        model=Model(backbone=backbone, head=("pool", *head)),
        stages=(Stage(epochs=30, train="all", lr=1e-4, optimizer="adamw", weight_decay=0.01, schedule="cosine"),),
        train=Train(batch_size=32),
    )


BALANCED = (
    member("mobilenetv2_100.ra_in1k", "dropout:0.3", "dense:512", "relu", "dropout:0.3", "dense:256", "relu", "dropout:0.3"),
    member("efficientnet_b1.ft_in1k", "dropout:0.3", "dense:512", "relu", "dropout:0.3"),
    member("resnet50.a1_in1k", *("dropout:0.4", "dense:1024", *NORMED), *("dropout:0.4", "dense:512", *NORMED), "dropout:0.3"),
)
PLAIN = BALANCED[0].changed(name="six-diseases-plain", description="MobileNetV2 on the images as they are.", balance={})
DIFFERENT = (  # ours: one network, trained in three ways
    PLAIN,
    # square-root sampling takes half of the imbalance away (in logarithms), and logit adjustment, which sees what is drawn, the rest
    PLAIN.changed(
        name="six-diseases-rare",
        description="MobileNetV2, square-root sampling and logit adjustment.",
        **{"balance.name": "sampling", "balance.options.power": 0.5, "loss.name": "logit_adjusted"},
    ),
    PLAIN.changed(name="six-diseases-strong", description="MobileNetV2 on strongly changed images.", augment=strong()),
)


def ensembles(prefix: str, members: tuple[str, ...]) -> tuple[Combined, ...]:
    """The same members combined in every way (ours)."""
    return tuple(Combined(name=f"{prefix}-{m}", title=f"{prefix}, {m}", members=members, method=m, ours=True) for m in METHODS)


def trained(names: tuple[str, ...], recipes: tuple[Recipe, ...], ours: bool = False) -> tuple[Trained, ...]:
    """An arm for each recipe."""
    pairs = zip(names, recipes, strict=True)
    return tuple(Trained(name=name, title=recipe.description, recipe=recipe, ours=ours, also=("external",)) for name, recipe in pairs)


ARMS: tuple[Arm, ...] = (
    *trained(MEMBERS, BALANCED),
    Combined(name="ensemble-given", title="ensemble .30 / .30 / .40", members=MEMBERS, method="given", weights=(0.30, 0.30, 0.40)),
    *ensembles("ensemble", MEMBERS),
    *trained(TRAININGS, DIFFERENT, ours=True),
    *ensembles("trainings", TRAININGS),
)


def _printed() -> Published:
    """The printed table, and members on test beside it."""

    def row(arm: str, at: str, *printed: float, unlike: str = "") -> tuple[Cell, ...]:
        names = ("accuracy", "precision_macro", "sensitivity_macro", "f1_macro", "f1_weighted")
        return tuple(Cell(value, arm, name, at, unlike * (name == "f1_macro")) for value, name in zip_longest(printed, names))

    impossible = "the printed F1 cannot be: it exceeds the mean of its precision and recall, .6384"
    return Published(
        title="Members and ensemble",
        columns=("accuracy", "precision", "recall", "F1", "F1, weighted"),
        rows={
            "MobileNetV2 (validation)": row("mobilenetv2", "val", 0.6834, 0.6203, 0.6848, 0.6358),
            "EfficientNet-B1 (validation)": row("efficientnet-b1", "val", 0.6832, 0.6249, 0.6842, 0.6454),
            "ResNet-50 (validation)": row("resnet50", "val", 0.7127, 0.6538, 0.6229, 0.6718, unlike=impossible),
            **{f"{name} (test)": row(name, "test") for name in MEMBERS},
            "ensemble (test)": row("ensemble-given", "test", 0.7207, 0.6636, 0.7431, 0.6854, 0.7269),
        },
        split=SPLIT,
        definition="Precision, recall and F1 are means over the classes; members on validation, the ensemble on 3,928 test images.",
        classes=CLASSES,
    )


def _by_class() -> Published:
    """Each class of the ensemble, as its printed confusion matrix has it."""
    names, matrix = ("precision", "sensitivity", "f1"), np.array(CONFUSION, float)
    true, answered = np.indices(matrix.shape).reshape(2, -1)
    found = figures(Rows(true, np.eye(len(CLASSES))[answered]).weighted(matrix.reshape(1, -1)), names)
    return Published(
        title="The ensemble, class by class",
        columns=("precision", "recall", "F1"),
        rows={c: tuple(Cell(float(found[n][0, i]), "ensemble-given", f"{n}/{c}") for n in names) for i, c in enumerate(CLASSES)},
        split=SPLIT,
        definition="Counted from the printed confusion matrix of the ensemble on 3,928 test images.",
        classes=CLASSES,
    )


@studies.register("six-diseases")
def six_diseases() -> Study:
    """Six diseases: three networks fine-tuned on balanced images, and what combining them gains."""
    return Study(
        name="six-diseases",
        title="Six skin diseases, ensemble of three networks",
        paper="Six groups of skin diseases, about 35,000 images: MobileNetV2, EfficientNet-B1 and ResNet-50, all layers trained on "
        "3,000 images a class, combined .30 / .30 / .40, with Grad-CAM in a web app.",
        needs="Photographs in the classes Enfeksiyonel, Ekzama, Akne, Pigment, Benign, Malign; any other classes run too, not comparable.",
        split=PLAIN.split,
        arms=ARMS,
        published=(_printed(), _by_class()),
        pairs=tuple(Pair(arm.name, member, GAIN) for arm in ARMS if isinstance(arm, Combined) for member in arm.members),
        honest=(
            "Classes are brought to 3,000 images after the split and among training images only; before it, copies stand on both sides.",
            "Members and ensembles answer the same test images; weights are fitted on validation, test is read once.",
            "An ensemble is set beside every one of its members: which is best cannot be known beforehand.",
            "Of 849 malignant images the printed matrix misses 229, unreported; the sensitivity of each class stands here.",
        ),
        expects="A point or two over the best member in accuracy, more in AUROC; ways of combining differ by less than their intervals.",
        cpu=Scale("cpu", images=3000, test=2000, size=96, epochs=5, replicates=1000, minutes=20),
        pages=("confusion", "curves"),
    )
