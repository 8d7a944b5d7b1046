"""How it was done: the recipe in words and as JSON, what a publication leaves open, versions, machine, and time."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from cutis.recipe import Augment, Balance, Recipe, Stage
from cutis.report import blocks, words
from cutis.report.context import Context, Part, parts

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


@parts.register("90 methods")
def methods(context: Context) -> Part:
    """The recipe, a line a step, each choice of ours marked."""
    recipe = context.recipe
    rows = [[topic, Markup("{} {}").format(text, _ours(recipe, fields))] for topic, text, *fields in in_words(context)]
    body = [blocks.table("The recipe in words", ["step", blocks.Column("how", text=True)], rows, hidden=True)]
    if recipe.assumptions:
        open_ = f"(ours) marks a choice that the publication leaves open: {', '.join(recipe.assumptions)}."
        body.append(Markup('<p class="legend">{}</p>').format(open_))
    body.append(blocks.fold("The recipe as JSON", blocks.code(_as_json(recipe))))
    return Part("How it was done", f"The recipe {recipe.name}, step by step.", body)


@parts.register("95 origin")
def origin(context: Context) -> Part | None:
    """The command, what was overridden, weights, machine, versions and time."""
    told = context.provenance
    if not told:
        return None
    seconds = told.get("seconds", {})
    total = sum(seconds.values())
    model, machine = told.get("model", {}), told.get("machine", {})
    facts = {
        "command": Markup("<code>{}</code>").format(told.get("command", "")),
        "overridden": ", ".join(told.get("overrides", [])) or "nothing",
        "when": " to ".join(str(told[k]) for k in ("started", "finished") if told.get(k)),
        "weights": f"{model.get('weights', '')} {_sha(model.get('weights_sha256'))}".strip(),
        "machine": ", ".join(_machine(machine)),
        "versions": ", ".join(f"{k} {v}" for k, v in {"cutis": told.get("cutis", ""), **told.get("versions", {})}.items()),
    }
    rows = [[name, words.duration(s), blocks.bar(s / total, words.per_cent(s / total))] for name, s in seconds.items() if total]
    body = [blocks.facts({k: v for k, v in facts.items() if v})]
    if rows:
        body.append(blocks.table("Time of each part", ["part", "time", "share"], rows))
    where = f" on {words.count(machine['cores'], 'core')}" if machine.get("cores") else ""
    return Part("Versions, machine and time", f"It took {words.duration(total)}{where}." if total else "Where it was made.", body)


def in_words(context: Context) -> list[tuple[str, ...]]:
    """The recipe as (step, what is done, the fields it comes from...)."""
    r, told = context.recipe, context.provenance
    if r.ensemble is not None:
        return _ensemble_in_words(context)
    model = told.get("model", {})
    size = f"{r.images.size[0]} x {r.images.size[1]} pixels"
    weights = {"pretrained": "pretrained", "none": "from scratch"}.get(r.model.weights, f"weights {r.model.weights}")
    parameters = f"; {model['parameters']:,} parameters, {model['trained_parameters']:,} trained" if model.get("trained_parameters") else ""
    weighting = {"none": "no class weights", "balanced": "classes weighted by rarity"}.get(
        str(r.loss.class_weights), f"class weights {r.loss.class_weights}"
    )
    sizes = f", at {words.listed([str(s) for s in r.train.size], 'then')} pixels" if r.train.size else ""
    extra = [f"gradients clipped at {r.train.clip:g}"] * bool(r.train.clip) + [f"averaged weights ({r.train.ema:g})"] * bool(r.train.ema)
    extra += [f"features of {r.train.views} views"] * (r.train.views > 1)
    views = "one view of each image" if r.predict.views == 1 else f"mean over {r.predict.views} turns and mirrors of each image"
    return [
        ("images", f"{size}, {FIT[r.images.fit]}", "images"),
        ("split", told.get("split", {}).get("how", ""), "split"),
        ("balancing", _balance(r.balance), "balance"),
        ("augmentation", ", ".join(_augmentations(r.augment)) or "none", "augment"),
        ("network", f"{r.model.backbone}, {weights}; head: {', '.join(r.model.head) or 'none'}{parameters}", "model"),
        (
            "loss",
            f"{r.loss.name.replace('_', ' ')}{_options(r.loss.options)}; {weighting}",
            "loss",
        ),
        *((f"stage {i + 1}", _stage(s), f"stages.{i}") for i, s in enumerate(r.stages)),
        ("training", ", ".join([f"batches of {r.train.batch_size}{sizes}", f"precision {r.train.precision}", *extra]), "train"),
        ("answers", views + (f", at {r.predict.size} pixels" if r.predict.size else ""), "predict"),
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
        ("combined by", f"{r.ensemble.method}{_options(r.ensemble.options)}", "ensemble.method"),
        ("split", told.get("split", {}).get("how", ""), "split"),
        ("intervals", _intervals(r), "evaluate"),
        ("seed", str(r.seed), "seed"),
    ]


def _intervals(r: Recipe) -> str:
    return f"{100 * r.evaluate.level:g} %, {r.evaluate.replicates:,} bootstrap replicates over groups"


def _as_json(recipe: Recipe) -> str:
    """The recipe; of an ensemble what applies to it."""
    if recipe.ensemble is None:
        return recipe.to_json()
    whole = dict.fromkeys(("name", "description", "assumptions", "seed", "ensemble"), True)
    return recipe.model_dump_json(indent=2, include={**whole, "evaluate": {"replicates", "level"}})


def _stage(s: Stage) -> str:
    what = {"head": "the head alone", "all": "the whole network"}.get(
        s.train, f"the head and the last {s.train.removeprefix('last:')} blocks"
    )
    best = f"; weights of the best {s.monitor.replace('_', ' ')} kept" if s.restore_best else ""
    stop = f"; stops after {words.count(s.patience, 'epoch')} without gain" if s.patience else ""
    decay = f", weight decay {s.weight_decay:g}" if s.weight_decay else ""
    weights = f"; class weights {s.class_weights}" if s.class_weights else ""
    drawn = f"; balancing {_balance(s.balance)}" if s.balance else ""
    how = f"{s.optimizer} at {s.lr:g}{decay}, {s.schedule} schedule"
    return f"{what}, up to {words.count(s.epochs, 'epoch')}, {how}{best}{stop}{weights}{drawn}"


def _balance(b: Balance) -> str:
    again = {"same": "", "mixed": f", repeats mixed up to {b.most:g}", "transformed": f", repeats transformed ({b.preset})"}
    return f"{b.name}{_options(b.options)}{again[b.repeats]}"


def _augmentations(augment: Augment) -> list[str]:
    changed = {k: v for k, v in augment.model_dump().items() if v != type(augment).model_fields[k].default}
    return [AUGMENT.get(k, k + " {}").format(*(v if isinstance(v, tuple) else (v,))) for k, v in changed.items()]


def _options(options: Mapping[str, Any]) -> str:
    return f" ({', '.join(f'{k} {v}' for k, v in options.items())})" if options else ""


def _ours(recipe: Recipe, fields: list[str]) -> Markup:
    ours = [a for a in recipe.assumptions if any((a + ".").startswith(f + ".") for f in fields)]
    return Markup('<span class="ours" title="{}">(ours)</span>').format(", ".join(ours)) if ours else Markup("")


def _sha(value: str | None) -> str:
    return f"(SHA-256 {value[:16]}…)" if value else ""


def _machine(machine: Mapping[str, Any]) -> list[str]:
    said = [str(machine["cpu"])] if machine.get("cpu") else []
    said += [words.count(machine["cores"], "core")] if machine.get("cores") else []
    said += [f"{machine['memory_gb']:g} GB memory"] if machine.get("memory_gb") else []
    return [*said, str(machine.get("gpu") or "no GPU")] if said else []
