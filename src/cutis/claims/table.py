"""What a publication states, typed: a claim, its models and their figures; a figure keeps the digits that were printed."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cutis.claims import written
from cutis.claims.printed import Printed
from cutis.errors import CutisError
from cutis.registry import unknown

Average = Literal["macro", "micro", "weighted", "binary", ""]
AVERAGED = ("precision", "recall", "f1", "specificity", "auroc")
"""Figures of a class, which are also printed as an average over classes."""


def _printed(given: object) -> object:
    return Printed.parse(given, per_cent=False) if isinstance(given, str) else given  # what is per cent has got its sign


Count = Annotated[int, Field(ge=0)]
Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(written.counts)]
Figure = Annotated[Printed, BeforeValidator(_printed)]
Names = Annotated[tuple[str, ...], BeforeValidator(written.names)]
Matrix = Annotated[tuple[tuple[Count, ...], ...], BeforeValidator(written.matrix)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Model(_Part):
    """The figures of one model on one set of images."""

    name: str = "model"
    """What it is called; a pair names models by it."""
    on: str = "test"
    """Which images it was measured on: test, validation, ..."""
    n: Counts | None = None
    """How many images; several where the publication leaves it open."""
    classes: Names | None = None
    """Its classes, where they are not those of the claim."""
    sizes: dict[str, Count] | None = None
    """Images of each class."""
    balanced: bool | None = None
    """Whether all classes have equally many images."""
    seeds: int | None = Field(None, ge=1)
    """How many runs the figures are a mean of."""
    folds: int | None = Field(None, ge=1)
    """How many folds of different size the figures are a mean of."""
    selected_on: str = ""
    """Which images its epoch or settings were chosen on."""
    average: Average = ""
    """What precision, recall, F1, specificity and AUROC are without a suffix: averages over classes, or (binary) of the class
    ``positive``; empty: not said."""
    positive: str = ""
    """The class that binary figures are about."""
    accuracy: Figure | None = None
    balanced_accuracy: Figure | None = None
    kappa: Figure | None = None
    mcc: Figure | None = None
    precision: Figure | None = None
    precision_macro: Figure | None = None
    precision_micro: Figure | None = None
    precision_weighted: Figure | None = None
    recall: Figure | None = None
    recall_macro: Figure | None = None
    recall_micro: Figure | None = None
    recall_weighted: Figure | None = None
    f1: Figure | None = None
    f1_macro: Figure | None = None
    f1_micro: Figure | None = None
    f1_weighted: Figure | None = None
    specificity: Figure | None = None
    specificity_macro: Figure | None = None
    specificity_micro: Figure | None = None
    specificity_weighted: Figure | None = None
    auroc: Figure | None = None
    auroc_macro: Figure | None = None
    auroc_micro: Figure | None = None
    auroc_weighted: Figure | None = None
    per_class: dict[str, dict[Literal["precision", "recall", "f1", "specificity", "auroc", "accuracy"], Figure]] = {}
    """Figures of each class."""
    confusion: Matrix | None = None
    """Counts; a row a true class, a column a predicted one."""

    @property
    def figures(self) -> dict[str, Printed]:
        """The figures that are given for all classes together, by name."""
        return {name: figure for name in type(self).model_fields if isinstance(figure := getattr(self, name), Printed)}

    @property
    def averaged(self) -> bool:
        """Whether the figures are a mean over runs or folds, so that no single confusion matrix gives them."""
        return (self.seeds or 1) > 1 or (self.folds or 1) > 1

    def of_class(self, figure: str) -> dict[str, Printed]:
        """One figure of all classes that have it."""
        return {name: value for name, given in self.per_class.items() for kind, value in given.items() if kind == figure}


class Pair(_Part):
    """A claim that one model beats another."""

    worse: str
    better: str
    claim: Literal["better", "significant"] = "better"
    """What is said of the difference."""
    figure: str = "accuracy"
    """By which figure."""


class Claim(_Part):
    """What one publication states; what is said here holds for each model that does not say otherwise."""

    title: str = ""
    source: str = ""
    """Where it was published."""
    classes: Names = ()
    """Names of the classes; a number stands for "1", "2", ..."""
    n: Counts | None = None
    """How many test images; several where the publication leaves it open."""
    sizes: dict[str, Count] | None = None
    """Test images of each class."""
    balanced: bool | None = None
    """Whether all classes have equally many test images."""
    split: Literal["lesion", "patient", "image", ""] = ""
    """What the split kept together; image: nothing."""
    resampled: Literal["before split", "after split", ""] = ""
    """When classes were brought to equal size, where they were."""
    seeds: int | None = Field(None, ge=1)
    """How many runs the figures are a mean of."""
    folds: int | None = Field(None, ge=1)
    """How many folds the figures are a mean of."""
    average: Average = ""
    """What figures without a suffix are averages of."""
    matters: Names = ()
    """Classes that must not be missed, such as malignant ones."""
    unit: Literal["fraction", "per cent", ""] = ""
    """Unit of figures without a sign; empty: per cent where they exceed 1."""
    same_images: tuple[tuple[str, ...], ...] = ()
    """Names of sets (a model's ``on``) that hold the same images, such as a test set and its rebalanced copy."""
    models: tuple[Model, ...] = ()
    pairs: tuple[Pair, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _tidied(cls, given: Any) -> Any:
        return written.tidied(given, cls.model_fields, Model.model_fields) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _fits(self) -> "Claim":
        if not self.models:
            raise ValueError("it has no models: give at least one, with its figures")
        named = {model.name for model in self.models}
        for pair in self.pairs:
            for name in (pair.worse, pair.better):
                if name not in named:
                    raise ValueError(unknown("model", name, named))
        if self.sizes and not any(self.sizes.values()):
            raise ValueError("sizes are all 0: give the test images of each class")
        if self.sizes and self.classes and set(self.sizes) != set(self.classes):
            odd = sorted(set(self.sizes) ^ set(self.classes))
            raise ValueError(f"sizes and classes differ by {', '.join(odd)}: give the images of each class, under its name")
        measured = {model.on for model in self.models}
        for name in (name for group in self.same_images for name in group if name not in measured):
            raise ValueError(unknown("set of same_images", name, measured))
        for model in self.models:
            _same_classes(model, self.classes_of(model))
        return self

    def classes_of(self, model: Model) -> tuple[str, ...]:
        """The names of a model's classes: given, or told by its sizes, its figures or its matrix; empty where nothing tells."""
        named = model.classes or self.classes or tuple(model.sizes or self.sizes or model.per_class)
        return named or tuple(str(i + 1) for i in range(len(model.confusion or ())))

    def sizes_of(self, model: Model) -> dict[str, int] | None:
        """Images of each class in the set the model was measured on, in the order of its classes; None where they are not stated."""
        stated = model.sizes or (self.sizes if self.shares(model) and not model.classes else None)
        classes = self.classes_of(model)
        if stated:
            return {name: stated[name] for name in classes}
        balanced = self.balanced if model.balanced is None and self.shares(model) else model.balanced
        n = (model.n or (self.n if self.shares(model) else None)) or ()
        if balanced and classes and len(n) == 1 and n[0] % len(classes) == 0:
            return dict.fromkeys(classes, n[0] // len(classes))
        return None

    def n_of(self, model: Model) -> tuple[int, ...]:
        """The candidate numbers of images the model was measured on; empty where nothing tells."""
        sizes = self.sizes_of(model)
        stated = model.n or ((sum(sizes.values()),) if sizes else None) or (self.n if self.shares(model) else None)
        return stated or ((sum(map(sum, model.confusion)),) if model.confusion else ())

    def complete(self, model: Model) -> Model:
        """The model with the claim's seeds, folds and average where it states none of its own."""
        own = {"seeds": model.seeds or self.seeds, "folds": model.folds or self.folds, "average": model.average or self.average}
        return model.model_copy(update=own)

    def shares(self, model: Model) -> bool:
        """Whether the claim's numbers of test images are about this model's set: it is the test set, or there is only one set."""
        return model.on.casefold() == "test" or len({m.on for m in self.models}) == 1


def _same_classes(model: Model, classes: Sequence[str]) -> None:
    """Refuse names of classes that are not among the model's, and a matrix of another shape."""
    for name in [*(model.sizes or ()), *model.per_class, *filter(None, [model.positive])]:
        if name not in classes:
            raise ValueError(f"{model.name}: " + unknown("class", name, classes))
    if model.sizes and not any(model.sizes.values()):
        raise ValueError(f"{model.name}: its sizes are all 0; give the images of each class")
    if model.sizes and len(model.sizes) != len(classes):
        missing = ", ".join(name for name in classes if name not in model.sizes)
        raise ValueError(f"{model.name}: sizes leave out {missing}; give the images of each class")
    if model.confusion and {len(model.confusion), *map(len, model.confusion)} != {len(classes)}:
        raise ValueError(f"{model.name}: the confusion matrix needs {len(classes)} rows of {len(classes)} counts, as there are classes")


def validated(given: Mapping[str, Any]) -> Claim:
    """A claim from plain data, in which a figure is best a text, as printed. Raises CutisError with what is wrong, a line a field."""
    try:
        return Claim.model_validate(given)
    except ValidationError as error:
        lines = []
        for e in error.errors():
            where = ".".join(map(str, e["loc"])) or "the claim"
            if e["type"] == "extra_forbidden":
                known = {"models": Model.model_fields, "pairs": Pair.model_fields}.get(str(e["loc"][0]), Claim.model_fields)
                lines.append(f"{where}: " + unknown("key", e["loc"][-1], known))
            else:
                lines.append(f"{where}: {e['msg'].removeprefix('Value error, ')}")
        raise CutisError("The table cannot be read. " + " | ".join(lines) + " `cutis check --example` prints a template.") from error
