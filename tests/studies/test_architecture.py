"""The networks of every study are those that were described: layers in order, units, stages, optimisers, rates, sizes, scaling."""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutis.models import build, heads
from cutis.recipe import Model, Recipe
from cutis.studies.catalog import Arm, studies
from cutis.train import stages

STUDIES = {name: make() for name, make in studies.items()}
RECIPES = [(study, arm, i) for study, made in STUDIES.items() for arm in made.arms for i in range(len(arm.plan()))]


def stage(epochs: int | None, train: str, lr: float | None = None, **more: Any) -> dict[str, Any]:
    """A stage of Adam as described; what is None was left open."""
    told = {"epochs": epochs, "train": train, "lr": lr, "optimizer": "adam", **more}
    return {key: value for key, value in told.items() if value is not None}


@dataclass(frozen=True)
class Net:
    """A network as the publication describes it, written out by hand; what is None was left open."""

    backbone: str
    head: str
    size: tuple[int, int]
    stages: list[dict[str, Any]]
    scaling: str | None = "backbone"
    augment: dict[str, Any] | None = field(default_factory=dict)
    class_weights: str = "none"
    loss: str = "cross_entropy"
    batch: int | None = None
    balance: dict[str, Any] = field(default_factory=dict)


S0 = Net("vgg16.tv_in1k", "GlobalAverage > dense 512 128 > relu > dense 128 4", (224, 224), [stage(50, "head", 1e-4)])
GATE = "gate(conv 512 64 1x1 > relu > conv 64 1 1x1 > Sigmoid)"

FLIP_TURN_ZOOM = {"hflip": True, "rotation": 36.0, "zoom": (0.9, 1.1)}  # a tenth of a full turn either way
S1 = Net("plain_cnn", "Flatten > dense 28800 128 > relu > dense 128 2", (150, 200), [stage(None, "all", 1e-3)], "unit")
VGG19 = Net(
    "vgg19.tv_in1k",
    "Flatten > dense 12288 128 > relu > dropout 0.5 > dense 128 2",
    (150, 200),
    [stage(None, "head")],
    "unit",
    {"hflip": True, "rotation": 180.0, "zoom": (0.9, 1.1)},
)
CALLBACKS = {
    "schedule": "plateau",
    "plateau": 5,
    "factor": 0.5,
    "min_lr": 1e-5,
    "patience": 20,
    "restore_best": True,
    "monitor": "accuracy",
}


def xception(classes: int, plan: str, head: str = "", balanced: bool = False) -> Net:
    """Stages as "50f 40": 50 epochs with the backbone frozen, 40 of all layers."""
    narrow = "dense 204800 128 > relu > dropout 0.2 > norm 128 > dense 128"
    return Net(
        "legacy_xception.tf_in1k",
        f"Flatten > norm 204800 > {head or narrow} {classes}",
        (320, 320),
        [stage(int(word.rstrip("f")), "head" if word.endswith("f") else "all", **CALLBACKS) for word in plan.split()],
        scaling=None,
        augment=FLIP_TURN_ZOOM,
        balance={"name": "count"} if balanced else {},
    )


WIDE = "dense 204800 1024 > relu > dropout 0.2 > norm 1024 > dense 1024 256 > relu > dropout 0.2 > norm 256 > dense 256"

S2 = Net(
    "efficientnet_b1.ft_in1k",
    "GlobalAverage > dense 1280 256 > relu > dropout 0.3 > dense 256 5",
    (150, 150),
    [stage(10, "head", 1e-3, patience=10), stage(30, "all", 1e-4, patience=10)],
    "unit",
    FLIP_TURN_ZOOM | {"vflip": True},
    batch=32,
)


def dermamnist(backbone: str, head: str, size: int, class_weights: str = "none") -> Net:
    """Adam at 1e-4, early stopping after 10 epochs, at most 100, best checkpoint kept."""
    plan = [stage(100, "head", 1e-4, patience=10, restore_best=True)]
    return Net(backbone, head, (size, size), plan, scaling=None, class_weights=class_weights)


def effv3(width: int) -> str:
    return f"Flatten > norm {width} > dense {width} 64 > relu > norm 64 > dense 64 7"


V2L, RESNET = "tf_efficientnetv2_l.in1k", "resnet50.a1_in1k"
CONVOLUTIONS = "conv 1280 256 3x3 > norm 256 > relu > conv 256 256 3x3 > norm 256 > relu"


def six(backbone: str, head: str, **more: Any) -> Net:
    """All layers, AdamW at 1e-4, cosine, 30 epochs, batches of 32, on 3,000 images a class."""
    plan = [stage(30, "all", 1e-4, optimizer="adamw", schedule="cosine")]
    given = {"balance": {"name": "count", "options": {"count": 3000}}} | more
    return Net(backbone, f"pool > {head} 6", (224, 224), plan, batch=32, **given)


MOBILENET = "dropout 0.3 > dense 1280 512 > relu > dropout 0.3 > dense 512 256 > relu > dropout 0.3 > dense 256"
RESNET_HEAD = "dropout 0.4 > dense 2048 1024 > norm 1024 > relu > dropout 0.4 > dense 1024 512 > norm 512 > relu > dropout 0.3 > dense 512"

PUBLISHED = {
    ("acne-severity", "a"): S0,
    ("acne-severity", "b"): replace(S0, head=f"{GATE} > {S0.head}"),
    ("acne-severity", "c"): replace(
        S0, backbone="efficientnet_b0.ra_in1k", head=S0.head.replace("512", "1280"), stages=[stage(50, "head", 1e-3)]
    ),
    ("acne-severity", "a-448"): replace(S0, size=(448, 448)),
    ("acne-severity", "d-cumulative"): replace(S0, loss="cumulative"),
    ("acne-severity", "d-distribution"): replace(S0, loss="label_distribution"),
    ("isic2019", "cnn"): S1,
    ("isic2019", "cnn-augmented"): replace(S1, head=f"dropout 0.2 > {S1.head}", augment=FLIP_TURN_ZOOM),
    ("isic2019", "found"): replace(
        S1,
        head="dropout 0.3 > Flatten > dense 28800 112 > relu > dense 112 2",
        stages=[stage(None, "all", 1e-4)],
        augment=FLIP_TURN_ZOOM,
    ),
    ("isic2019", "vgg19"): VGG19,
    ("isic2019", "vgg19-own-scaling"): replace(VGG19, scaling="backbone"),
    ("isic2019", "xception-binary"): xception(2, "50f 40 40"),
    ("isic2019", "xception-eight"): xception(8, "30f 40 40 40"),
    ("isic2019", "xception-eight-balanced"): xception(8, "40f 40f 40", balanced=True),
    ("isic2019", "xception-wide"): xception(8, "40f 40 40", WIDE, balanced=True),
    ("acne-types", "a"): S2,
    ("acne-types", "b"): replace(S2, class_weights="balanced"),
    ("dermamnist", "effnet-28-official"): dermamnist(V2L, effv3(1280), 28),
    ("dermamnist", "resnet-28-official"): dermamnist(RESNET, effv3(2048), 28),
    ("dermamnist", "effv1"): dermamnist(V2L, f"{CONVOLUTIONS} > {effv3(256 * 7 * 7)}", 224),
    ("dermamnist", "effv3"): dermamnist(V2L, effv3(1280 * 7 * 7), 224),
    ("dermamnist", "effv4"): dermamnist(V2L, effv3(1280 * 7 * 7), 224, "balanced"),
    ("six-diseases", "mobilenetv2"): six("mobilenetv2_100.ra_in1k", MOBILENET),
    ("six-diseases", "efficientnet-b1"): six("efficientnet_b1.ft_in1k", "dropout 0.3 > dense 1280 512 > relu > dropout 0.3 > dense 512"),
    ("six-diseases", "resnet50"): six("resnet50.a1_in1k", RESNET_HEAD),
    ("six-diseases", "plain"): six("mobilenetv2_100.ra_in1k", MOBILENET, balance={}),
}
SEARCHES = {("isic2019", "search"), ("isic2019", "search-rate")}  # test_searched has what they train


def described(module: nn.Module) -> str:
    """A layer in a few words."""
    match module:
        case nn.Linear():
            return f"dense {module.in_features} {module.out_features}"
        case nn.Conv2d():
            return f"conv {module.in_channels} {module.out_channels} {module.kernel_size[0]}x{module.kernel_size[1]}"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return f"norm {module.num_features}"
        case nn.Dropout():
            return f"dropout {module.p}"
        case nn.ReLU():
            return "relu"
        case heads.SpatialAttention():
            return f"gate({' > '.join(map(described, module.gate))})"
    return type(module).__name__


@cache
def made(model: str, size: tuple[int, int], train: tuple[int, ...], predict: int | None, classes: int) -> build.Classifier:
    sizes = {"images.size": size, "train.size": train, "predict.size": predict}
    recipe = Recipe(model=Model.model_validate_json(model)).changed(**{"model.weights": "none"}, **sizes)
    with torch.device("meta"):
        return build.build(recipe, [f"grade {i}" for i in range(classes)])[0].eval()


def built(recipe: Recipe, classes: int) -> build.Classifier:
    """The network without numbers: layers and shapes only; arms that differ in training alone share it."""
    return made(recipe.model.model_dump_json(), recipe.images.size, recipe.train.size, recipe.predict.size, classes)


@pytest.mark.parametrize(("study", "arm", "which"), RECIPES, ids=lambda value: getattr(value, "name", str(value)))
def test_every_recipe_makes_the_network_that_was_described(study: str, arm: Arm, which: int) -> None:
    recipe, net = arm.plan()[which], PUBLISHED.get((study, arm.name))
    assert arm.ours or net or (study, arm.name) in SEARCHES, f"{study} calls {arm.name} published: describe its network in this file"
    classes = int(net.head.rsplit(" ", 1)[1]) if net else 7
    model = built(recipe, classes)
    logits: Tensor = model(torch.empty(1, 3, *recipe.predict_size, device="meta"))
    assert logits.shape == (1, classes)
    for step in recipe.stages:
        trained = build.trainable(model, step.train)
        frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
        assert trained
        assert all(name.startswith("backbone.") for name in frozen)
        assert bool(frozen) == (step.train != "all")
        assert not any(p.requires_grad for p in model.backbone.parameters()) or step.train != "head"
    if net is not None:
        _same(recipe, model, net)


def _same(recipe: Recipe, model: build.Classifier, net: Net) -> None:
    """The recipe and its network are as described."""
    layers = " > ".join([*(["pool"] if model.own_pooling else []), *map(described, (*model.neck, *model.head))])
    assert layers == net.head
    assert recipe.model.backbone == net.backbone
    assert recipe.model.weights == ("none" if net.backbone == "plain_cnn" else "pretrained")
    assert recipe.images.size == recipe.predict_size == net.size
    assert recipe.train.size == ()
    assert net.scaling in (None, recipe.model.scaling)
    assert net.augment in (None, recipe.augment.model_dump(exclude_defaults=True))
    assert (recipe.loss.name, recipe.loss.class_weights, recipe.loss.options) == (net.loss, net.class_weights, {})
    assert net.batch in (None, recipe.train.batch_size)
    assert recipe.balance.model_dump(exclude_defaults=True) == net.balance
    assert [{key: getattr(step, key) for key in told} for step, told in zip(recipe.stages, net.stages, strict=True)] == net.stages
    makes = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    for step, told in zip(recipe.stages, net.stages, strict=True):
        optimizer = stages.optimizer(step, [nn.Parameter(torch.zeros(2, 2))])
        assert type(optimizer) is makes[told["optimizer"]]
        assert optimizer.param_groups[0]["lr"] == step.lr


def test_the_plain_cnn_is_three_convolutions_each_with_pooling() -> None:
    backbone = built(STUDIES["isic2019"].arm("cnn").plan()[0], 2).backbone
    layers = [described(m) for m in backbone.modules() if not list(m.children())]
    expected = [f"conv {a} {b} 3x3 > relu > MaxPool2d" for a, b in ((3, 16), (16, 32), (32, 64))]
    assert " > ".join(layers) == " > ".join(expected)
