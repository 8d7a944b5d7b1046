"""Facts about the model: what it is, how it began, how it was trained and chosen, on what."""

from cutis.files import read_json
from cutis.report import in_words, words
from cutis.report.context import Context
from cutis.report.facts import facts
from cutis.report.parts.training import kept

SHA = 16  # characters of a checksum that a sentence names


@facts.register("task")
def task(context: Context) -> str:
    """What is told apart."""
    classes = context.classes
    if not classes:
        return ""
    return f"The task was to classify single images into {words.count(len(classes), 'class')}: {words.listed(classes)}."


@facts.register("preprocessing")
def preprocessing(context: Context) -> str:
    """From a file to what the network sees."""
    r = context.recipe
    if r.ensemble is not None:
        return ""
    (height, width), (seen, across) = r.images.size, r.predict_size
    scaled = "by the backbone's mean and standard deviation" if r.model.scaling == "backbone" else "to 0 to 1"
    answered = f"; answers were computed at {seen} x {across} pixels" if (seen, across) != (height, width) else ""
    fit = in_words.FIT[r.images.fit]
    return f"Each file was decoded to RGB and brought to {height} x {width} pixels ({fit}), its values scaled {scaled}{answered}."


@facts.register("whole_images")
def whole_images(context: Context) -> str:
    """Which part of an image is seen."""
    r = context.recipe
    if r.ensemble is not None:
        return ""
    cut = " but the borders that a centre crop to the network's aspect ratio cuts off" if r.images.fit == "crop" else ""
    return f"The whole image was used{cut}; no lesion was cut out."


@facts.register("network")
def network(context: Context) -> str:
    """Architecture, size, input, output."""
    r, told = context.recipe, context.provenance.get("model", {})
    if r.ensemble is not None:
        return ""
    size = ""
    if trained := told.get("trained_parameters"):
        part = "all" if trained == told["parameters"] else f"{trained:,}"
        size = f" Of its {told['parameters']:,} parameters {part} were trained."
    between = f" followed by {words.listed([layer.replace(':', ' ') for layer in r.model.head])}" if r.model.head else ""
    return f"The network was {r.model.backbone}{between}, with one output a class, of which softmax makes probabilities.{size}"


@facts.register("initialisation")
def initialisation(context: Context) -> str:
    """Where weights began."""
    r, told = context.recipe, context.provenance.get("model", {})
    if r.ensemble is not None:
        return ""
    if r.model.weights == "none":
        return f"All weights began at random (seed {r.seed})."
    name, sha = told.get("weights", ""), told.get("weights_sha256", "")
    facts_ = ", ".join(filter(None, [name, f"SHA-256 {sha[:SHA]}…" if sha else "", told.get("weights_licence", "")]))
    return f"The backbone began with published weights{f' ({facts_})' if facts_ else ''}, the layers after it at random (seed {r.seed})."


@facts.register("augmentation")
def augmentation(context: Context) -> str:
    """Random changes of training images, and balancing."""
    r = context.recipe
    if r.ensemble is not None:
        return ""
    changed = words.listed(in_words.augmentations(r.augment))
    drawn = f" Training rows were balanced by {in_words.balance(r.balance)}." if r.balance.name != "none" else ""
    return (f"Training images were changed at random: {changed}." if changed else "Training images were not changed.") + drawn


@facts.register("training")
def training(context: Context) -> str:
    """Loss, stages, batches, precision."""
    r = context.recipe
    if r.ensemble is not None:
        return ""
    stages = [in_words.stage(s) for s in r.stages]
    plan = f"Training ran in {words.count(len(stages), 'stage')}: " + ". ".join(f"({i}) {s}" for i, s in enumerate(stages, 1))
    return f"The loss was {in_words.loss(r.loss)}. {plan}. Steps: {in_words.steps(r)}."


@facts.register("selection")
def selection(context: Context) -> str:
    """Which weights were kept, and on what that was decided."""
    epoch = kept(context)
    if epoch is None:
        return ""
    history, last = context.run.history, context.recipe.stages[-1]
    if last.restore_best and history["val_loss"].notna().any():
        how = f"those of the best {last.monitor.replace('_', ' ')} on validation"
    else:
        how = "the last"
    return f"Of {words.count(len(history), 'epoch')} the weights of epoch {epoch} were kept, {how}."


@facts.register("search")
def search(context: Context) -> str:
    """How the layers and rates were searched for, where they were."""
    path = context.run.folder / "search.json"
    return str(read_json(path)["how"]) if path.is_file() else ""


@facts.register("ensembling")
def ensembling(context: Context) -> str:
    """How many networks, and how many views of an image, make an answer."""
    r = context.recipe
    if r.ensemble is None:
        return f"One network answered, with the {in_words.views(r)}." if r.predict.views > 1 else "One network answered, once an image."
    members = [f"{m['name']} ({m['model'].get('backbone', 'network')})" for m in context.provenance.get("members", [])]
    rule = read_json(context.run.folder / "ensemble.json")["rule"]["how"]
    return f"The answers of {words.count(len(members), 'trained network')} were combined: {words.listed(members)}. {rule}"


@facts.register("repeats")
def repeats(context: Context) -> str:
    """A run of runs: how many there are."""
    names = context.provenance.get("parts", [])
    return f"The recipe was trained {len(names)} times ({words.listed(names)}) and the answers pooled." if names else ""


@facts.register("software")
def software(context: Context) -> str:
    """Versions of what decides a result."""
    told = context.provenance
    named = [f"{name} {version}" for name, version in told.get("versions", {}).items() if version != "absent"]
    return f"The software was Cutis {told['cutis']} with {words.listed(named)}." if told.get("cutis") and named else ""


@facts.register("machine")
def machine(context: Context) -> str:
    """On what it was trained, and how long that took."""
    told, took = context.provenance.get("machine", {}), sum(context.provenance.get("seconds", {}).values())
    said = [str(told["gpu"])] if told.get("gpu") else []
    said += [f"{words.count(told['cores'], 'core')} of {told.get('cpu', 'a processor')}"] if told.get("cores") else []
    return f"It was computed on {words.listed(said)}" + (f" in {words.duration(took)}." if took else ".") if said else ""


@facts.register("protocol")
def protocol(context: Context) -> str:
    """Where every setting stands."""
    ours = context.recipe.assumptions
    chosen = f" Where the publication leaves a setting open ({', '.join(ours)}), the choice is ours." if ours else ""
    return f"Every setting stands in recipe.json and provenance.json of the run, and on this page.{chosen}"
