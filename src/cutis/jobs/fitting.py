"""What is fitted once training is over, on validation answers alone, and measured on every set of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cutis.data import balance
from cutis.data.labels import malignant
from cutis.errors import CutisError, DataError
from cutis.evaluate import after, priors
from cutis.evaluate.calibration import calibrators
from cutis.evaluate.intervals import bootstrap_weights
from cutis.evaluate.priors import Shares
from cutis.recipe import Evaluation
from cutis.registry import unknown
from cutis.runs import Run, stage_of

FORMAT = "cutis-fitted-1"
EPOCHS = 16  # that are drawn to know how often balancing shows a class
ROWS = 20_000  # on which the class shares are found that a loss is lowest at


def checked(spec: Evaluation, classes: Sequence[str]) -> Evaluation:
    """How figures are computed, with ``watch`` settled: the classes it names, else those known to be malignant, else none.

    Raises CutisError for a calibration or a class that does not exist.
    """
    _ = calibrators[spec.calibration]
    for name in spec.watch:
        if name not in classes:
            raise CutisError(f"{unknown('class', name, classes)} Correct evaluate.watch.")
    return spec.model_copy(update={"watch": spec.watch or tuple(c for c in classes if malignant().get(c.lower()))})


def fit(run: Run) -> None:
    """Fit all that is registered on the run's validation answers, keep it in ``fitted.json``, and measure it on every set.

    Runs inside a run of runs are fitted each; one without labelled validation images is left as it is. The caller holds the lock.
    """
    for part in run.parts:
        fit(part)
    if "val" not in run.sets or not len(run.predictions("val").known().labels):
        return
    spec, val = run.recipe, run.predictions("val").known()
    found = {"format": FORMAT, **after.fitted(val, checked(spec.evaluate, val.classes))}
    try:
        training, how = trained_under(run)
        found["prior"] = {"how": how, **priors.fit(val, training, spec.evaluate)}
    except CutisError as error:
        found["prior"] = {"why": str(error)}
    run.fitted = found
    run.metrics = {name: told | _measured(run, name) for name, told in run.metrics.items()}


def measure(run: Run, name: str) -> None:
    """Measure on a set, answered anew, what was fitted; nothing where nothing was. The caller holds the lock."""
    (run.folder / "prior" / f"{name}.csv").unlink(missing_ok=True)  # of the answers before
    told = run.metrics
    run.metrics = told | {name: told[name] | _measured(run, name)}


def due(run: Run) -> bool:
    """Whether a run, or one in it, answered validation and nothing was fitted on that: one made by an older Cutis."""
    return any(due(part) for part in run.parts) or ("val" in run.sets and not run.fitted)


def shares(run: Run, given: Shares) -> dict[str, float]:
    """The class shares ``given`` (priors.given), for a run whose answers can be carried to them.

    Raises CutisError for shares that do not fit, DataError where the run has nothing to correct by.
    """
    if run.parts:
        raise CutisError(f"{run.folder} is a run of runs: give --prior for one of {', '.join(str(p.folder) for p in run.parts)}")
    fitted = run.fitted.get("prior", {"why": "The run has no validation images; train with split.val above 0."})
    if "why" in fitted:
        raise DataError(f"Answers cannot be carried to other class shares. {fitted['why']}")
    return priors.given(given, list(fitted["training"]))


def correct(run: Run, names: Sequence[str], given: Shares) -> None:
    """Carry the answers for some sets to other class shares: ``prior/NAME.csv``, and figures under ``prior``.

    The answers themselves stay. Raises as ``shares`` does. The caller holds the lock.
    """
    wanted, spec, told, fitted = shares(run, given), run.recipe, run.metrics, run.fitted["prior"]
    for name in names:
        answers = run.predictions(name)
        known = answers.known()
        weights = bootstrap_weights(known.groups, spec.evaluate.replicates, np.random.default_rng(spec.seed))
        bootstrap = after.Bootstrap(weights, spec.evaluate.level, spec.seed)
        told = told | {name: told[name] | {"prior": priors.measure(fitted, known, wanted, bootstrap)}}
        priors.corrected(fitted, answers, wanted).save(run.folder / "prior" / f"{name}.csv")
    run.metrics = told


def trained_under(run: Run) -> tuple[dict[str, float], str]:
    """The class shares that a run's answers stand for, and in words what they come from.

    They are what a network that sees nothing of the images would answer after the last stage's training, by which its loss is lowest on
    the labels as balancing shows them: so class weights, logit adjustment and label smoothing count as what they are. An ensemble's are
    the mean of its members'. Raises DataError where a member is gone.
    """
    spec = run.recipe
    if spec.ensemble is not None:
        members = [Run((run.folder / path).resolve()) for path in spec.ensemble.members]
        if gone := [str(member.folder) for member in members if not (member.folder / "split.csv").is_file()]:
            raise DataError(f"The members {', '.join(gone)} are gone, and with them what class shares they were trained under.")
        found = [trained_under(member)[0] for member in members]
        return {c: float(np.mean([one[c] for one in found])) for c in found[0]}, "the mean of the members' shares"
    table, classes = run.table, run.provenance["classes"]
    rows = table.loc[table["split"] == "train", "label"].dropna()
    labels = np.array([classes.index(label) for label in rows], np.int64)
    within, last = spec.within(spec.stages[-1]), sum(stage.epochs for stage in spec.stages) - 1
    drawn = [labels[balance.indices(labels, within.balance, spec.seed + i, last)] for i in range(EPOCHS)]
    shown = np.bincount(np.concatenate(drawn), minlength=len(classes)) / EPOCHS
    ways = {"balancing": within.balance.name, "class weights": within.loss.class_weights, "loss": within.loss.name}
    usual = {"balancing": "none", "class weights": "none", "loss": "cross_entropy"}
    changed = [f"{key} {value if isinstance(value, str) else 'as given'}" for key, value in ways.items() if value != usual[key]]
    lowest = _lowest(within.loss, shown, classes)
    return dict(zip(classes, lowest, strict=True)), f"the training images{' under ' + ', '.join(changed) if changed else ' as they are'}"


def _lowest(loss: Any, counts: Any, classes: Sequence[str]) -> list[float]:
    """The constant answer, C shares, at which a loss is lowest on labels with these counts."""
    import torch  # here, because a page is made without it
    from torch.nn import functional as F

    from cutis.train import losses

    scale = torch.as_tensor(counts, dtype=torch.float32)
    rows = (scale * max(1.0, ROWS / float(scale.sum()))).round().long()
    targets = F.one_hot(torch.arange(len(classes)).repeat_interleave(rows), len(classes)).float()
    mean = losses.function(loss, scale, classes)
    logits = torch.zeros(len(classes), requires_grad=True)
    solver = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        solver.zero_grad()
        value = mean(logits.expand(len(targets), -1), targets)
        value.backward()
        return value

    solver.step(step)
    return [float(share) for share in torch.softmax(logits.detach().double(), 0)]


def _measured(run: Run, name: str) -> Mapping[str, Any]:
    """What is added to a set's figures; nothing for the answers after a stage, on which nothing was fitted."""
    if not run.fitted or stage_of(name) or name not in run.sets:
        return {}
    spec = run.recipe
    return {"after": after.measured(run.fitted, run.predictions(name), spec.evaluate, spec.seed)}
