"""DermaMNIST (S3): frozen backbones with small heads at 28 and 224 pixels, on its leaking and on its corrected split.

The publication changes two things at once: 28 pixels on the official split, whose lesions cross, and 224 pixels on the corrected one. Here
each is changed alone, and of the official test set the images whose lesion is also in training stand apart from the others. Ours besides:
a transformer and ConvNeXt, a fine-tuned network, rare classes filled up by mixing and by transforms, and the external test.

    cutis study run dermamnist --data HAM10000_metadata.csv --split official=dermamnist_splits.csv:split_official \\
        --split corrected=dermamnist_splits.csv:split_corrected --external ISIC2018_Task3_Test_GroundTruth.csv --out dermamnist

Cost: each frozen backbone passes 10,015 images once; at the scale cpu 72 minutes of processor time with MobileNetV2 for all, so about 40
minutes on two cores. Expect resolution to bring more than leaks do on the same images, and a fine-tuned network beyond every frozen one.
"""

from cutis import recipes
from cutis.recipe import Balance, Images, Model, Recipe, Split, Stage, Train
from cutis.report import words
from cutis.studies.book.derived import clean, corrected, leaking, leaky
from cutis.studies.catalog import Cell, Given, Pair, Published, Scale, Study, Subset, Tables, Trained, studies

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
EFFV3 = ("batchnorm", "dense:64", "relu", "batchnorm")
EFFV1 = ("conv:256:3", "batchnorm", "relu", "conv:256:3", "batchnorm", "relu", "flatten", *EFFV3)
EFFNET, RESNET = "tf_efficientnetv2_l.in1k", "resnet50.a1_in1k"
VIT, CONVNEXT = "vit_small_patch16_224.augreg_in1k", "convnext_tiny.fb_in1k"
FIGURES = ("accuracy", "balanced_accuracy", "auroc_macro")
RARE = ("accuracy", "balanced_accuracy", "sensitivity/*")
OFFICIAL = "Official, 7,007 / 1,003 / 2,005: 1,006 lesions are in more than one part."
CORRECTED = "DermaMNIST-C, version 1: every lesion that crosses is moved to train; 1,232 test images."


def frozen(backbone: str = EFFNET, size: int = 224, head: tuple[str, ...] = ("flatten", *EFFV3)) -> Recipe:
    """A frozen backbone with Effv3's head, or another: Adam at 1e-4, early stopping, the best checkpoint."""
    return Recipe(
        name=f"dermamnist-{backbone.partition('.')[0]}-{size}",
        description=f"Frozen {backbone.partition('.')[0]} on images of {size} pixels.",
        assumptions=(
            *("model.scaling", "model.head", "train.batch_size"),
            *("stages.0.epochs", "stages.0.patience", "stages.0.monitor"),
        ),
        images=Images(size=size, fit="crop"),  # DermaMNIST is the centre square, resized
        augment=recipes.dermamnist(),
        model=Model(backbone=backbone, head=head),
        stages=(Stage(epochs=100, train="head", lr=1e-4, optimizer="adam", patience=10),),
        train=Train(batch_size=64),
    )


def enlarged(backbone: str, head: tuple[str, ...]) -> Recipe:
    """Images of 28 pixels enlarged to the 224 that the network was made for, which a transformer and ConvNeXt need."""
    return frozen(backbone, 28, head).changed(**{"train.size": [224], "predict.size": 224})


def probe(repeats: str = "") -> Recipe:
    """The linear probe that Cutis starts with; ``repeats``: classes drawn equally often, and what an image drawn again becomes."""
    balance = Balance(name="sampling", repeats=repeats) if repeats else Balance()
    kind = "augmented" if repeats == "transformed" else "symmetries"
    return recipes.probe().changed(name=f"dermamnist-probe-{repeats or 'plain'}", balance=balance, **{"train.view_kind": kind})


def tables(given: Given, split: Split) -> Tables:
    """The corrected split, the official one (as given, else the corrected made to leak as it does), and the external test."""
    known = corrected(given, split)
    official = given.divided(split, "official") if "official" in given.splits else leaky(known["corrected"], split)
    return {**known, "official": official}


def arm(name: str, title: str, recipe: Recipe, ours: bool = True, cpu: Scale | None = None) -> Trained:
    """An arm; on the official split it leaks, on the corrected one it also answers the external test."""
    leaks = name.endswith("-official")
    data, also = ("official", ()) if leaks else ("corrected", ("external",))
    return Trained(name=name, title=title, data=data, recipe=recipe, ours=ours, leaks=leaks, also=also, cpu=cpu)


POOLED = ("pool", *EFFV3)
ARMS = (
    arm("effnet-28-official", "EfficientNetV2-L, 28, official split", frozen(size=28), ours=False),
    arm("resnet-28-official", "ResNet-50, 28, official split", frozen(RESNET, 28), ours=False),
    arm("effv1", "Effv1, 224", frozen(head=EFFV1), ours=False, cpu=Scale("cpu", epochs=6)),
    arm("effv3", "Effv3, 224", frozen(), ours=False),
    arm("effv4", "Effv4, 224", frozen().changed(**{"loss.class_weights": "balanced"}), ours=False),
    arm("effnet-224-official", "EfficientNetV2-L, 224, official split", frozen()),
    arm("effnet-28", "EfficientNetV2-L, 28", frozen(size=28)),
    arm("effnet-28-enlarged", "EfficientNetV2-L, 28 enlarged", enlarged(EFFNET, ("flatten", *EFFV3))),
    arm("resnet-224-official", "ResNet-50, 224, official split", frozen(RESNET)),
    arm("resnet-224", "ResNet-50, 224", frozen(RESNET)),
    arm("resnet-28", "ResNet-50, 28", frozen(RESNET, 28)),
    arm("vit-224", "ViT-S/16, 224", frozen(VIT, head=POOLED)),
    arm("vit-28", "ViT-S/16, 28 enlarged", enlarged(VIT, POOLED)),
    arm("convnext-224", "ConvNeXt-T, 224", frozen(CONVNEXT, head=POOLED)),
    arm("convnext-28", "ConvNeXt-T, 28 enlarged", enlarged(CONVNEXT, POOLED)),
    arm("probe", "MobileNetV2, frozen, linear", probe()),
    arm("finetune", "MobileNetV2, fine-tuned", recipes.finetune(), cpu=Scale("cpu", epochs=5)),
    arm("probe-same", "probe, classes drawn equally often", probe("same")),
    arm("probe-mixed", "probe, images drawn again are mixed", probe("mixed")),
    arm("probe-transformed", "probe, images drawn again are transformed", probe("transformed")),
)


def printed(title: str, split: str, n: int, cells: dict[str, tuple[float, str]]) -> Published:
    """Printed accuracies."""
    return Published(
        title=title,
        columns=("accuracy",),
        rows={row: (Cell(value, arm),) for row, (value, arm) in cells.items()},
        split=split,
        definition="Accuracy on the test images of the checkpoint that is best on validation.",
        classes=CLASSES,
        n=(n,),
    )


def asked(title: str, columns: tuple[str, ...], rows: dict[str, tuple[Cell | None, ...]], definition: str) -> Published:
    """A table that the publication lacks."""
    return Published(title=title, columns=columns, rows=rows, split="Not published.", definition=definition)


def told_apart() -> Published:
    """Resolution and cleaning, each alone."""
    arms = {
        "EfficientNetV2-L, 28": ("effnet-28-official", "effnet-28"),
        "EfficientNetV2-L, 224": ("effnet-224-official", "effv3"),
        "ResNet-50, 28": ("resnet-28-official", "resnet-28"),
        "ResNet-50, 224": ("resnet-224-official", "resnet-224"),
    }
    return asked(
        "Resolution and cleaning told apart",
        ("official split, all", "official split, leaking", "official split, clean", "corrected split"),
        {row: (*(Cell(None, a, at=at) for at in ("test", "test:leaking", "test:clean")), Cell(None, b)) for row, (a, b) in arms.items()},
        "Accuracy. Leaking: the lesion is also in training or validation. The clean images are the test images of the corrected split.",
    )


def everywhere() -> Published:
    """The corrected arms on both tests."""
    places = [(at, figure) for at in ("test", "external") for figure in FIGURES]
    return asked(
        "Corrected and external test",
        tuple(f"{at}: {words.label(figure)}" for at, figure in places),
        {arm.title: tuple(Cell(None, arm.name, figure, at) for at, figure in places) for arm in ARMS if not arm.leaks},
        "External: data from elsewhere, answered by the same model.",
    )


@studies.register("dermamnist")
def dermamnist() -> Study:
    """DermaMNIST: frozen backbones at 28 and 224 pixels, resolution and leaks told apart."""
    best = {"frozen MobileNetV2 (ours) beside Effv3": (0.8490, "probe"), "fine-tuned MobileNetV2 (ours) beside Effv3": (0.8490, "finetune")}
    return Study(
        name="dermamnist",
        title="DermaMNIST at 28 and 224 pixels",
        paper="Frozen EfficientNetV2-L and ResNet-50 on DermaMNIST (28 pixels) and DermaMNIST-C (224 pixels), with three heads.",
        needs="HAM10000's metadata with lesion ids, and DermaMNIST's splits as columns of a file (--split official=FILE:COLUMN --split "
        "corrected=FILE:COLUMN); its npz names no lesions. For the external test those of ISIC 2018 (--external).",
        expects="A fine-tuned network beyond the printed .8490; the printed heads cannot be told apart.",
        tables=tables,
        cpu=Scale("cpu", epochs=12, minutes=40),
        arms=ARMS,
        published=(
            printed("28 pixels", OFFICIAL, 2005, {"EfficientNetV2-L": (0.7017, ARMS[0].name), "ResNet-50": (0.6663, ARMS[1].name)}),
            printed("224 pixels", CORRECTED, 1232, {"Effv1": (0.8271, "effv1"), "Effv3": (0.8490, "effv3"), "Effv4": (0.8247, "effv4")}),
            printed("Ours beside the best printed figure", CORRECTED, 1232, best),
            told_apart(),
            everywhere(),
        ),
        pairs=(
            Pair("effv4", "effv3", RARE, why="Class weights: sensitivity of each class against accuracy."),
            Pair("effv1", "effv3", why="Do more convolutions help?"),
            Pair("finetune", "probe", why="What does fine-tuning bring?"),
            Pair("finetune", "probe", at="external", why="And on images from elsewhere?"),
            Pair("effv3", "effnet-28", why="Resolution alone, on the corrected split."),
            Pair("effnet-28-enlarged", "effnet-28", why="What do 28 pixels lose because the network is made for larger images?"),
            Pair("effv3", "effnet-28-enlarged", why="And what do they lose with the pixels themselves?"),
            Pair("effnet-224-official", "effv3", at="test:clean", why="Cleaning alone, at 224 pixels, on the same clean images."),
            Pair("effnet-28-official", "effnet-28", at="test:clean", why="Cleaning alone, at 28 pixels, on the same clean images."),
            *(Pair(other, "effv3", why="Which frozen network is better?") for other in ("resnet-224", "vit-224", "convnext-224")),
            Pair("probe-same", "probe", RARE, why="What does drawing rare classes more often move?"),
            Pair("probe-mixed", "probe-same", RARE, why="And mixing what is drawn again?"),
            Pair("probe-transformed", "probe-same", RARE, why="And transforming it?"),
        ),
        subsets=(
            Subset("leaking", "test images whose lesion is also in training or validation", leaking),
            Subset("clean", "test images whose lesion is in no other part", clean),
        ),
        honest=(
            "Each test stands beside its majority line: nv is 67 % of the official test images and 77 % of the corrected ones.",
            "The printed .6663 lies below always answering nv (.6688); .8490 against .8247 is no significant difference (z = 1.6).",
            "Resolution and cleaning are changed one at a time; arms on the leaking split only show what leaking does.",
        ),
        pages=("precision-recall",),
    )
