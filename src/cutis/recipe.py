"""The recipe: everything that decides a run, as one frozen, checked value that JSON can hold."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from cutis import settings
from cutis.errors import CutisError
from cutis.registry import Registry, unknown
from cutis.settings import assign, value_of


class Part(BaseModel):
    """A frozen piece of a recipe; a field that does not exist is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def _listed(value: Any) -> Any:
    """One number is a list of one; text is split at its commas."""
    if isinstance(value, str):
        return tuple(filter(None, value.split(",")))
    return (value,) if isinstance(value, int) else value


def _as_json(options: dict[str, Any]) -> dict[str, Any]:
    """Options as JSON holds them, so that a recipe read back equals the one written."""
    try:
        return dict(json.loads(json.dumps(options, allow_nan=False)))
    except TypeError as error:
        raise ValueError(f"options hold numbers, text, lists and mappings only ({error})") from error


Side = Annotated[int, Field(gt=0)]
Factor = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0)]
Options = Annotated[dict[str, Any], AfterValidator(_as_json)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
ClassWeights = str | tuple[float, ...]


class Images(Part):
    """How a file becomes the stored pixels."""

    size: Annotated[tuple[Side, Side], BeforeValidator(lambda v: (v, v) if isinstance(v, int) else v)] = (224, 224)
    """Height and width of the stored image, in pixels; one number means a square."""
    fit: Literal["squash", "crop", "pad"] = "crop"
    """How another aspect ratio is fitted: squash (stretch), crop (centre), pad (black borders)."""
    max_unreadable: float = Field(0.01, ge=0, le=1)
    """The largest share of files that may be unreadable before the run stops."""
    max_pixels: int = Field(100_000_000, gt=0)
    """Files with more pixels than this are refused from their header, before decoding."""


class Split(Part):
    """How rows are divided when the data do not say; groups are never cut."""

    test: float = Field(0.2, ge=0, lt=1)
    """Share of images for testing."""
    val: float = Field(0.1, ge=0, lt=1)
    """Share of images for validation: early stopping, best weights, thresholds."""
    folds: int = Field(0, ge=0)
    """Number of folds (0: one split by the shares above); each fold is the test set once."""
    fold: int = Field(0, ge=0)
    """Which fold is the test set."""
    seed: int = Field(0, ge=0)
    """Seed of the split; the same seed and table give the same split."""

    @model_validator(mode="after")
    def _possible(self) -> "Split":
        if self.folds == 1 or (self.folds and self.fold >= self.folds):
            raise ValueError(f"split.folds={self.folds} and split.fold={self.fold} do not fit: use folds >= 2 and 0 <= fold < folds")
        if self.test + self.val >= 1:
            raise ValueError(f"split.test={self.test} and split.val={self.val} leave nothing to train on")
        return self


class Balance(Part):
    """How often each training row is seen."""

    name: str = "none"
    """none (each row once an epoch), sampling (drawn so that classes are equally frequent), count (every class brought to one count,
    once), or a registered function."""
    options: Options = {}
    """Arguments of the function, such as {"count": 3000}."""
    repeats: Literal["same", "mixed", "transformed"] = "same"
    """What a row is that is drawn again because its class is brought up: same, mixed (blended with another row of its class), transformed
    (changed by a preset of its own)."""
    most: float = Field(0.5, gt=0, le=1)
    """The largest share of the other row in a mixed one."""
    preset: str = "synthetic"
    """The augmentation preset by which transformed rows are changed."""

    @model_validator(mode="after")
    def _repeating(self) -> "Balance":
        if self.repeats != "same" and self.name == "none":
            raise ValueError(f"repeats={self.repeats} is about rows that are drawn again, and balance.name=none draws none: use sampling")
        return self


class Augment(Part):
    """Random changes of training images; everything off by default. Geometry is one resampling."""

    hflip: bool = False
    """Mirror left and right, half of the time."""
    vflip: bool = False
    """Mirror top and bottom, half of the time."""
    quarter_turns: bool = False
    """Turn by 0, 90, 180 or 270 degrees."""
    rotation: float = Field(0.0, ge=0, le=180)
    """Turn by up to this many degrees either way."""
    zoom: tuple[Factor, Factor] = (1.0, 1.0)
    """Range of the scale factor, lowest first; above 1 magnifies."""
    stretch: float = Field(0.0, ge=0, lt=1)
    """Change of the aspect ratio by up to this share."""
    shift: float = Field(0.0, ge=0, le=1)
    """Move by up to this share of the side, along each axis."""
    brightness: float = Field(0.0, ge=0, le=1)
    """Multiply by 1 - b to 1 + b."""
    contrast: float = Field(0.0, ge=0, le=1)
    """Spread around the image's mean grey by 1 - c to 1 + c."""
    saturation: float = Field(0.0, ge=0, le=1)
    """Spread around each pixel's grey by 1 - s to 1 + s."""
    hue: float = Field(0.0, ge=0, le=0.5)
    """Turn colours by up to this share of the colour circle."""
    erase: float = Field(0.0, ge=0, le=1)
    """Probability that a rectangle of 2 to 20 % of the area is replaced by the image's mean."""
    mixup: float = Field(0.0, ge=0)
    """Beta parameter of mixup (Zhang et al. 2018); 0 is off."""
    cutmix: float = Field(0.0, ge=0)
    """Beta parameter of CutMix (Yun et al. 2019); 0 is off. With both on, each batch takes one of them."""

    @model_validator(mode="after")
    def _ordered(self) -> "Augment":
        if self.zoom[0] > self.zoom[1]:
            raise ValueError(f"augment.zoom={self.zoom} is not a range: give the lower factor first")
        return self


class Model(Part):
    """The network: a backbone and the layers after it."""

    backbone: str = "mobilenetv2_100.ra_in1k"
    """A timm name, or one of Cutis's own (plain_cnn)."""
    weights: str = "pretrained"
    """pretrained (CUTIS_WEIGHTS, then the Hugging Face hub), none (from scratch), or a safetensors file."""
    head: Names = ("pool",)
    """Layers between the backbone's last feature map and the class logits, for example ("pool", "dense:128", "relu", "dropout:0.2");
    the last dense layer, one unit a class, is added, unless the head ends with cosine:SCALE."""
    scaling: Literal["backbone", "unit"] = "backbone"
    """Pixel scaling: the backbone's own mean and standard deviation, or 0..1 only."""
    options: Options = {}
    """Arguments for the backbone's constructor, such as {"drop_path_rate": 0.1}."""


class Loss(Part):
    """What training minimises."""

    name: str = "cross_entropy"
    """A registered loss: cross_entropy, focal, logit_adjusted, ..."""
    class_weights: ClassWeights = "none"
    """Weight of each class: none, balanced (n / (classes * n_class), as scikit-learn; balanced:0.5 its square root), effective:0.999
    (effective number of images), a registered function, or given in the order of the classes."""
    options: Options = {}
    """Arguments of the loss, such as {"label_smoothing": 0.1}."""


class Stage(Part):
    """One stage of training: which parameters, how long, at which rate."""

    epochs: int = Field(ge=1)
    """Epochs at most."""
    train: str = Field("all", pattern=r"^(head|all|last:[1-9]\d*)$")
    """head (the backbone is frozen), all, or last:K (head and the last K blocks of the backbone)."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate (the peak, where the schedule changes it)."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimiser."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay; not applied to biases and norms."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of sgd."""
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    """constant, cosine (down to min_lr), plateau (times `factor` when validation stands still)."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the stage's steps over which the rate rises linearly from near zero."""
    min_lr: float = Field(0.0, ge=0)
    """Floor of the rate."""
    factor: float = Field(0.5, gt=0, lt=1)
    """What plateau multiplies the rate by."""
    plateau: int = Field(5, ge=1)
    """Epochs without improvement before plateau lowers the rate."""
    patience: int = Field(0, ge=0)
    """Epochs without improvement before the stage ends early; 0: never."""
    restore_best: bool = True
    """End the stage with the weights of its best epoch."""
    monitor: Literal["loss", "accuracy", "balanced_accuracy", "auroc"] = "loss"
    """The validation figure that best weights, plateau and patience look at."""
    class_weights: ClassWeights | None = None
    """Other class weights in this stage (deferred reweighting: Cao et al. 2019); none: the loss's."""
    balance: Balance | None = None
    """Another drawing of the training rows in this stage; none: the recipe's."""


class Train(Part):
    """How training runs, over all stages."""

    batch_size: int = Field(32, ge=1)
    """Images a step."""
    size: Annotated[tuple[Side, ...], BeforeValidator(_listed)] = ()
    """Side in pixels at which the network is trained; several grow over the epochs; none: the stored size."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of training; auto: the faster one, as measured on this machine for this network."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the network for training; auto: where the measured gain pays back within the run."""
    clip: float = Field(0.0, ge=0)
    """Largest gradient norm; 0: no clipping."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the exponential moving average of the weights, which is then what is validated and kept; 0: off."""
    views: int = Field(1, ge=0, le=8)
    """While the backbone is frozen: how many versions of each image pass through it once and are kept, the first as it is; 0: every
    epoch anew, augmented."""
    view_kind: Literal["symmetries", "augmented"] = "symmetries"
    """What the further versions are: the symmetries of the square, or the augmentation (of repeated rows, where balance.repeats is
    transformed) drawn once for each image and version."""


class Predict(Part):
    """How answers are computed after training."""

    size: Side | None = None
    """Side in pixels; none: the stored size."""
    views: Literal[1, 2, 4, 8] = 1
    """Test-time augmentation: probabilities averaged over this many of the square's symmetries."""
    batch_size: int = Field(64, ge=1)
    """Images a step."""
    backend: str = "auto"
    """What computes answers and the features of a frozen backbone: eager, compiled (GPU), openvino, onnxruntime, or auto
    (the fastest that agrees, as measured on this machine)."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Number format of answers and frozen features; auto: bf16 where the processor has it and answers agree with fp32, else fp32."""


class Evaluation(Part):
    """How figures and their intervals are computed."""

    replicates: int = Field(2000, ge=100)
    """Bootstrap replicates, drawn over groups."""
    level: float = Field(0.95, gt=0.5, lt=1)
    """Confidence level of the intervals."""
    stages: bool = False
    """Also answer validation and test after each stage but the last."""
    calibration: str = "temperature"
    """How probabilities are corrected on validation after training: none, temperature, vector, isotonic, or a registered function."""
    watch: Names = ()
    """Classes that matter most, such as ("mel", "bcc"), for which thresholds are chosen; none: those that are known to be malignant."""
    sensitivity: float = Field(0.9, gt=0, lt=1)
    """The sensitivity for the watched classes that thresholds are chosen to reach, on validation."""
    coverage: float = Field(0.9, gt=0, lt=1)
    """The share of images whose set of possible classes is to hold the true one (conformal prediction)."""
    in_scope: float = Field(0.95, gt=0, lt=1)
    """The share of validation images that the limit for being out of scope lets pass."""


class Ensemble(Part):
    """Finished runs whose answers are combined, in place of a network that is trained."""

    members: tuple[str, ...] = ()
    """Run folders, relative to the folder of the ensemble where that is possible."""
    method: str = "mean"
    """mean, given (by weights), fitted (weights of the lowest log loss), greedy (forward selection), rank, stacking, or a registered
    function; what is fitted is fitted on validation."""
    weights: tuple[Share, ...] = ()
    """What each member's answer weighs where the method is given; they are divided by their sum."""
    options: Options = {}
    """Arguments of the method, such as {"metric": "balanced_accuracy"} of greedy."""


class Recipe(Part):
    """All that decides a run, apart from the data."""

    name: str = "custom"
    """Name of the recipe."""
    description: str = ""
    """One sentence: what it is for."""
    assumptions: tuple[str, ...] = ()
    """Fields whose value a publication leaves open, so the choice is ours; named on every page."""
    seed: int = Field(0, ge=0)
    """Seed of weights, order and augmentation."""
    images: Images = Images()
    split: Split = Split()
    balance: Balance = Balance()
    augment: Annotated[Augment, BeforeValidator(lambda v: augments[v]() if isinstance(v, str) else v)] = Augment()
    model: Model = Model()
    loss: Loss = Loss()
    stages: tuple[Stage, ...] = Field((Stage(epochs=20),), min_length=1)
    train: Train = Train()
    predict: Predict = Predict()
    evaluate: Evaluation = Evaluation()
    ensemble: Ensemble | None = None
    """Finished runs whose answers are combined, and how: members, method, weights, options; nothing is trained then."""

    @property
    def predict_size(self) -> tuple[int, int]:
        """Height and width at which the network answers."""
        return (self.predict.size, self.predict.size) if self.predict.size else self.images.size

    @property
    def view_augment(self) -> Augment:
        """How further versions of a frozen backbone's images are changed: where repeated rows are transformed, these are they."""
        return augments[self.balance.preset]() if self.balance.repeats == "transformed" else self.augment

    def within(self, stage: Stage) -> "Recipe":
        """The recipe as it holds in one of its stages, whose class weights and balance take the place of the recipe's."""
        loss = self.loss if stage.class_weights is None else self.loss.model_copy(update={"class_weights": stage.class_weights})
        return self.model_copy(update={"loss": loss, "balance": stage.balance or self.balance})

    def to_json(self) -> str:
        """The recipe as indented JSON."""
        return self.model_dump_json(indent=2) + "\n"

    def changed(self, **fields: Any) -> "Recipe":
        """A variant with other values, checked; nested parts by dotted name: ``changed(**{"stages.0.lr": 1e-4})``."""
        data = self.model_dump(mode="json")
        for key, value in fields.items():
            assign(data, key, to_jsonable_python(value), settings.fields(Recipe))
        return validated(data)


recipes: Registry[Callable[[], Recipe]] = Registry("recipe", "cutis.recipes")
augments: Registry[Callable[[], Augment]] = Registry("augmentation preset", "cutis.recipes")


def load(name_or_file: str | Path) -> Recipe:
    """The recipe of that name, or of that JSON file. Raises CutisError with what to do."""
    path = Path(name_or_file)
    if path.suffix == ".json" or path.is_file():
        if not path.is_file():
            raise CutisError(f"There is no recipe file {path}. Give a file that exists, or a name: {', '.join(recipes)}.")
        try:
            return validated(json.loads(path.read_text("utf-8")))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise CutisError(f"{path} is not valid JSON: {error}. Correct that line.") from error
    return recipes[str(name_or_file)]()


def with_settings(recipe: Recipe, given: Sequence[str]) -> Recipe:
    """The recipe changed by ``key=value`` strings, as ``--set`` gives them; values are JSON, else text, and a,b,c is a list."""
    changes = {}
    for setting in given:
        key, equals, text = setting.partition("=")
        if not equals:
            raise CutisError(f"--set takes key=value; {setting!r} has no '='. Example: --set stages.0.lr=1e-4")
        changes[key.strip()] = value_of(text.strip())
    return recipe.changed(**changes)


def validated(data: dict[str, Any]) -> Recipe:
    """A recipe from plain data; what is wrong is said in one line a field."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = []
        for e in error.errors():
            where = ".".join(map(str, e["loc"])) or "recipe"
            if e["type"] == "extra_forbidden":
                lines.append(unknown("recipe field", where, settings.fields(Recipe)))
            else:
                given = "" if isinstance(e["input"], dict) else f" (given: {e['input']!r})"
                lines.append(f"{where}: {e['msg'].removeprefix('Value error, ')}{given}")
        raise CutisError("The recipe cannot be used. " + " | ".join(lines)) from error
