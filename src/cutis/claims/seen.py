"""What a model's figures say in images: how many there were, and how many of each class were right."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cutis.claims.printed import Printed
from cutis.claims.table import Claim, Model

Sizes = dict[str, int]
MANY = 5  # names that are too many to list


@dataclass(frozen=True)
class Share:
    """Between ``low`` and ``high`` of ``n`` images, as far as the printed digits tell."""

    low: int
    high: int
    n: int
    exact: bool = False
    """Whether it is counted from a confusion matrix."""

    @property
    def value(self) -> float:
        """The middle, as a share of one."""
        return (self.low + self.high) / 2 / self.n

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:,} of {self.n:,})" if self.low == self.high else f"{self.value:.3f}"


def printed_share(figure: Printed, n: int) -> Share | None:
    """The counts of n images that a printed share can stand for, rounded or cut off; None where there are none."""
    counts = figure.possible().counts(n)
    return Share(counts[0], counts[-1], n) if counts else None


def images(claim: Claim, model: Model) -> int | None:
    """How many images: the largest candidate, which is the kindest to the figures; None where nothing tells."""
    stated = claim.n_of(model)
    return max(stated, default=0) or None


def sizes(claim: Claim, model: Model) -> Sizes | None:
    """Images of each class: stated, else the sums of the matrix' rows; None where neither is given."""
    stated = claim.sizes_of(model)
    if stated or model.confusion is None:
        return stated
    return dict(zip(claim.classes_of(model), map(sum, model.confusion), strict=True))


def accuracy(claim: Claim, model: Model) -> Share | None:
    """The share of all images that are right: of the matrix, else as printed."""
    n = images(claim, model)
    if model.confusion is not None and (n := sum(map(sum, model.confusion))):
        right = sum(row[i] for i, row in enumerate(model.confusion))
        return Share(right, right, n, True)
    return printed_share(model.accuracy, n) if model.accuracy and n else None


def printed_recalls(claim: Claim, model: Model) -> dict[str, Printed]:
    """The recalls that are printed, by class; of two classes the specificity of one is the recall of the other."""
    found = model.of_class("recall")
    classes = claim.classes_of(model)
    if len(classes) == 2:
        other = dict(zip(classes, reversed(classes), strict=True))
        found = {other[name]: figure for name, figure in model.of_class("specificity").items()} | found
        if model.positive and claim.complete(model).average == "binary":
            found |= {model.positive: model.recall} if model.recall else {}
            found |= {other[model.positive]: model.specificity} if model.specificity else {}
    return found


def recalls(claim: Claim, model: Model) -> dict[str, Share]:
    """The share of each class's images that are right: of the matrix, else as printed; without classes whose size is not known."""
    known = sizes(claim, model) or {}
    if model.confusion is not None:
        right = {name: row[i] for i, (name, row) in enumerate(zip(claim.classes_of(model), model.confusion, strict=True))}
        return {name: Share(right[name], right[name], n, True) for name, n in zip(right, map(sum, model.confusion), strict=True) if n}
    printed = printed_recalls(claim, model)
    shares = {name: printed_share(figure, known[name]) for name, figure in printed.items() if known.get(name)}
    return {name: share for name, share in shares.items() if share}


def precisions(claim: Claim, model: Model) -> dict[str, Share]:
    """The share of each class's answers that are right, where a matrix tells how many answers there were."""
    if model.confusion is None:
        return {}
    given = map(sum, zip(*model.confusion, strict=True))
    named = enumerate(zip(claim.classes_of(model), given, strict=True))
    return {name: Share(model.confusion[i][i], model.confusion[i][i], n, True) for i, (name, n) in named if n}


def on(model: Model, *kinds: str) -> bool:
    """Whether it was measured on such images: ``test``, ``val``, ..."""
    return model.on.casefold().startswith(kinds)


def sets(claim: Claim) -> list[list[Model]]:
    """The models that tell the same classes on the same images."""
    found: dict[tuple[str, tuple[str, ...]], list[Model]] = {}
    for model in claim.models:
        found.setdefault((model.on, claim.classes_of(model)), []).append(model)
    return list(found.values())


def copies(claim: Claim) -> Iterator[tuple[Model, Model]]:
    """Two measurements of one model on sets that are said to hold the same images, in the order of the table."""
    for group in claim.same_images:
        here = [model for model in claim.models if model.on in group]
        yield from ((a, b) for i, a in enumerate(here) for b in here[i + 1 :] if _same(claim, a, b))


def _same(claim: Claim, a: Model, b: Model) -> bool:
    return a.name == b.name and a.on != b.on and claim.classes_of(a) == claim.classes_of(b)


def listed(names: Iterable[str]) -> str:
    """Names, each once; of many the first ones and the number of the others."""
    each = list(dict.fromkeys(names))
    return ", ".join(each) if len(each) <= MANY else f"{', '.join(each[: MANY - 1])} and {len(each) - MANY + 1} others"


def where(model: Model, *figures: str) -> str:
    """``ResNet-50 on test, accuracy``."""
    return ", ".join([f"{model.name} on {model.on}", *figures])


def largest(known: Mapping[str, int]) -> str:
    """The class with the most images."""
    return max(known, key=lambda name: known[name])
