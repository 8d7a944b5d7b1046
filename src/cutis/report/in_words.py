"""The recipe in words: what was done to images, network and training, a line a step."""

from collections.abc import Mapping
from typing import Any

from cutis.recipe import Augment, Balance, Loss, Recipe, Stage
from cutis.report import words
from cutis.report.context import Context

FIT = {"squash": "stretched", "crop": "centre crop", "pad": "black borders"}
AUGMENT = {
    "hflip": "mirrored left to right",
    "vflip": "mirrored top to bottom",
    "quarter_turns": "quarter turns",
    "rotation": "rotation up to {} degrees",
    "zoom": "zoom {} to {}",
    "stretch": "aspect ratio up to {}",
    "shift": "shift up to {} of the side",
    "brightness": "brightness up to {}",
    "contrast": "contrast up to {}",
    "saturation": "saturation up to {}",
    "hue": "hue up to {}",
    "erase": "erasing with probability {}",
    "mixup": "mixup ({})",
    "cutmix": "CutMix ({})",
}


def in_words(context: Context) -> list[tuple[str, ...]]:
    """The recipe as (step, what is done, the fields it comes from...)."""
    r, told = context.recipe, context.provenance
    if r.ensemble is not None:
        return _ensemble_in_words(context)
    model = told.get("model", {})
    size = f"{r.images.size[0]} x {r.images.size[1]} pixels"
    weights = {"pretrained": "pretrained", "none": "from scratch"}.get(r.model.weights, f"weights {r.model.weights}")
    parameters = f"; {model['parameters']:,} parameters, {model['trained_parameters']:,} trained" if model.get("trained_parameters") else ""
    return [
        ("images", f"{size}, {FIT[r.images.fit]}", "images"),
        ("split", told.get("split", {}).get("how", ""), "split"),
        ("balancing", balance(r.balance), "balance"),
        ("augmentation", ", ".join(augmentations(r.augment)) or "none", "augment"),
        ("network", f"{r.model.backbone}, {weights}; head: {', '.join(r.model.head) or 'none'}{parameters}", "model"),
        ("loss", loss(r.loss), "loss"),
        *((f"stage {i}", stage(s), f"stages.{i - 1}") for i, s in enumerate(r.stages, 1)),
        ("training", steps(r), "train"),
        ("answers", views(r) + (f", at {r.predict.size} pixels" if r.predict.size else ""), "predict"),
        ("intervals", _intervals(r), "evaluate"),
        ("seed", str(r.seed), "seed"),
    ]


def _ensemble_in_words(context: Context) -> list[tuple[str, ...]]:
    """What there is to say where nothing is trained."""
    r, told = context.recipe, context.provenance
    assert r.ensemble is not None
    members = [f"{m['name']} (recipe {m['recipe']}, {m['model'].get('backbone', 'network')})" for m in told.get("members", [])]
    return [
        ("members", words.listed(members), "ensemble.members"),
        ("combined by", f"{r.ensemble.method}{options(r.ensemble.options)}", "ensemble.method"),
        ("split", told.get("split", {}).get("how", ""), "split"),
        ("intervals", _intervals(r), "evaluate"),
        ("seed", str(r.seed), "seed"),
    ]


def _intervals(r: Recipe) -> str:
    return f"{100 * r.evaluate.level:g} %, {r.evaluate.replicates:,} bootstrap replicates over groups"


def views(r: Recipe) -> str:
    """``one view of each image``, or over how many the answer is a mean."""
    return "one view of each image" if r.predict.views == 1 else f"mean over {r.predict.views} turns and mirrors of each image"


def loss(spec: Loss) -> str:
    """A loss with its options and class weights."""
    plain = {"none": "no class weights", "balanced": "classes weighted by rarity"}
    weighting = plain.get(str(spec.class_weights), f"class weights {spec.class_weights}")
    return f"{spec.name.replace('_', ' ')}{options(spec.options)}; {weighting}"


def stage(s: Stage) -> str:
    """A stage of training: what it trains, how long, at which rate, which weights it ends with."""
    what = {"head": "the head alone", "all": "the whole network"}.get(
        s.train, f"the head and the last {s.train.removeprefix('last:')} blocks"
    )
    best = f"; weights of the best {s.monitor.replace('_', ' ')} kept" if s.restore_best else ""
    stop = f"; stops after {words.count(s.patience, 'epoch')} without gain" if s.patience else ""
    decay = f", weight decay {s.weight_decay:g}" if s.weight_decay else ""
    weights = f"; class weights {s.class_weights}" if s.class_weights else ""
    drawn = f"; balancing {balance(s.balance)}" if s.balance else ""
    how = f"{s.optimizer} at {s.lr:g}{decay}, {s.schedule} schedule"
    return f"{what}, up to {words.count(s.epochs, 'epoch')}, {how}{best}{stop}{weights}{drawn}"


def steps(r: Recipe) -> str:
    """What a step of training sees, and how it is computed."""
    sizes = f", at {words.listed([str(s) for s in r.train.size], 'then')} pixels" if r.train.size else ""
    extra = [f"gradients clipped at {r.train.clip:g}"] * bool(r.train.clip) + [f"averaged weights ({r.train.ema:g})"] * bool(r.train.ema)
    extra += [f"features of {r.train.views} views"] * (r.train.views > 1)
    return ", ".join([f"batches of {r.train.batch_size}{sizes}", f"precision {r.train.precision}", *extra])


def balance(b: Balance) -> str:
    """How classes were balanced, and what a repeated row was."""
    again = {"same": "", "mixed": f", repeats mixed up to {b.most:g}", "transformed": f", repeats transformed ({b.preset})"}
    return f"{b.name}{options(b.options)}{again[b.repeats]}"


def augmentations(augment: Augment) -> list[str]:
    """Every random change that is on."""
    changed = {k: v for k, v in augment.model_dump().items() if v != type(augment).model_fields[k].default}
    return [AUGMENT.get(k, k + " {}").format(*(f"{x:g}" for x in (v if isinstance(v, tuple) else (v,)))) for k, v in changed.items()]


def options(given: Mapping[str, Any]) -> str:
    """`` (tau 0.5, label_smoothing 0.1)``; empty where there are none."""
    return f" ({', '.join(f'{k} {v}' for k, v in given.items())})" if given else ""
