"""Five acne types with EfficientNet-B1 (S2): plain cross-entropy (A) against class weights (B), all else identical.

The publication trains once each and prints .80 and .86 accuracy without intervals: with fewer than about 300 test images that is no
difference. Here each arm is trained with three seeds on the same split, and the gain in F1 of each class is the difference of the seeds'
means on the same resamples of test images, with its interval.

    cutis study run acne-types --data IMAGES --scale cpu --out acne-types

Cost: six trainings, 10 epochs with a frozen backbone and at most 30 of all layers each; at the scale cpu (1,000 images, 8 epochs a stage)
about half an hour on two cores. Expect weights to move sensitivity from common classes to rare ones rather than to lift all of them.
"""

from cutis.recipe import Images, Model, Recipe, Split, Stage, Train
from cutis.recipes import acne_types as augmentation
from cutis.studies.catalog import Cell, Pair, Published, Scale, Study, Trained, studies

CLASSES = ("Blackheads", "Cysts", "Papules", "Pustules", "Whiteheads")
SEEDS = 3
SPLIT = "Stratified 70 / 20 / 10 by image; one seed."
PRINTED = {
    "A precision": (0.95, 0.89, 0.73, 0.66, 0.67),
    "A recall": (0.78, 0.74, 0.70, 0.86, 0.97),
    "A F1": (0.86, 0.81, 0.71, 0.75, 0.79),
    "B precision": (0.92, 0.92, 0.82, 0.77, 0.76),
    "B recall": (0.89, 0.82, 0.80, 0.86, 0.97),
    "B F1": (0.91, 0.87, 0.81, 0.81, 0.85),
}
FIGURES = {"precision": "precision", "recall": "sensitivity", "F1": "f1"}
LAST_EPOCH = "printed is the loss of the last epoch, ours that of the epoch with the lowest"


def plain() -> Recipe:
    """A: EfficientNet-B1, plain cross-entropy."""
    return Recipe(
        name="acne-types-a",
        description="EfficientNet-B1, plain cross-entropy.",
        assumptions=(
            *("images.fit", "augment", "model.head.1", "model.head.3", "train.batch_size", "train.views"),
            *(f"stages.{i}.{field}" for i in (0, 1) for field in ("epochs", "train", "optimizer", "lr", "patience")),
        ),
        images=Images(size=150, fit="squash"),
        split=Split(test=0.1, val=0.2),
        augment=augmentation(),
        model=Model(backbone="efficientnet_b1.ft_in1k", head=("avgpool", "dense:256", "relu", "dropout:0.3"), scaling="unit"),
        stages=(
            Stage(epochs=10, train="head", lr=1e-3, optimizer="adam", patience=10),
            Stage(epochs=30, train="all", lr=1e-4, optimizer="adam", patience=10),
        ),
        train=Train(batch_size=32, views=0),  # the frozen stage too sees images augmented anew each epoch
    )


def weighted() -> Recipe:
    """B: A with classes weighted by n / (C n_j)."""
    return plain().changed(
        name="acne-types-b", description="A with balanced class weights, n / (C n_j).", **{"loss.class_weights": "balanced"}
    )


def _classes() -> Published:
    """Precision, recall and F1 of each class."""

    def row(name: str, values: tuple[float, ...]) -> tuple[Cell, ...]:
        arm, figure = name.split()
        return tuple(Cell(value, arm.lower(), f"{FIGURES[figure]}/{c}") for c, value in zip(CLASSES, values, strict=True))

    return Published(
        title="Each class, A plain and B weighted",
        columns=CLASSES,
        rows={name: row(name, values) for name, values in PRINTED.items()},
        split=SPLIT,
        definition="Of the answer with the highest probability on the test images.",
        classes=CLASSES,
    )


def _whole() -> Published:
    """Figures of the whole table."""
    losses = {arm: Cell(value, arm, "log_loss", "val", unlike=LAST_EPOCH) for arm, value in (("a", 1.75), ("b", 1.58))}
    return Published(
        title="Whole table, A plain and B weighted",
        columns=("accuracy", "macro F1", "validation accuracy", "final validation loss"),
        rows={
            "A": (Cell(0.80, "a"), Cell(0.78, "a", "f1_macro"), Cell(0.90, "a", at="val"), losses["a"]),
            "B": (Cell(0.86, "b"), Cell(0.85, "b", "f1_macro"), None, losses["b"]),
        },
        split=SPLIT,
        definition="Accuracy and macro F1 on the test images; validation where the column says so.",
        classes=CLASSES,
    )


@studies.register("acne-types")
def acne_types() -> Study:
    """Five types of acne: plain cross-entropy against class weights, with three seeds."""
    return Study(
        name="acne-types",
        title="Acne types with EfficientNet-B1, plain and weighted",
        paper="Five types of acne on cropped photographs: EfficientNet-B1 at 150 pixels with plain and with class-weighted cross-entropy. "
        "Printed for weights: Papules taken for Pustules 40 to 32 times, Blackheads taken for Pustules 30 to 17 times.",
        needs="Images of the five types (largest to smallest class 5.6 : 1), a folder a class; any other classes run too.",
        kind="acne",
        split=plain().split,
        arms=(
            Trained(name="a", title="A: plain", recipe=plain(), seeds=SEEDS, also=("external",)),
            Trained(name="b", title="B: weighted", recipe=weighted(), seeds=SEEDS, also=("external",)),
        ),
        published=(_classes(), _whole()),
        pairs=(
            Pair("b", "a", ("f1/*",), why="What weights gain in F1, class by class."),
            Pair("b", "a", ("accuracy", "f1_macro", "balanced_accuracy"), why="Whether weights gain anything overall."),
        ),
        honest=(
            "Three seeds on one split, and intervals over both images and seeds: one pair of trainings cannot tell a gain from luck.",
            "What is split are groups, and copies stay together; the publication splits image by image.",
            "Pixels are scaled to 0..1 only, as published, although the backbone's weights were made with standardised pixels.",
            "Validation alone ends a stage and chooses its weights; the test images are answered once, at the end.",
        ),
        expects="Sensitivity moves from common classes to rare ones; whether macro F1 gains depends on the images, and .06 may be luck.",
        cpu=Scale("cpu", images=1000, test=300, epochs=8, replicates=1000, minutes=35),
        pages=("precision-recall", "curves", "confusion"),
    )
