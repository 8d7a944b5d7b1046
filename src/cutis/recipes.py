"""The recipes that come with Cutis, and its augmentation presets; a variant calls its parent and changes a field."""

from cutis.recipe import (
    Augment,
    Images,
    Loss,
    Model,
    Predict,
    Recipe,
    Split,
    Stage,
    Train,
    augments,
    recipes,
)

# Augmentation presets. A skin lesion has no up or down: turns and mirror images are as true as the original.


@augments.register("none")
def none() -> Augment:
    """Nothing is changed."""
    return Augment()


@augments.register("light")
def light() -> Augment:
    """Mirror images and right-angle turns: every pixel stays true."""
    return Augment(hflip=True, vflip=True, quarter_turns=True)


@augments.register("strong")
def strong() -> Augment:
    """Light, with any turn, zoom, stretch, shift, colour and erasing."""
    return Augment(
        **light().model_dump(include={"hflip", "vflip", "quarter_turns"}),
        rotation=45,
        zoom=(0.85, 1.3),
        stretch=0.1,
        shift=0.08,
        brightness=0.2,
        contrast=0.2,
        saturation=0.2,
        hue=0.03,
        erase=0.2,
    )


@augments.register("synthetic")
def synthetic() -> Augment:
    """For rows that are repeated to bring a rare class up: further from the original than strong, so that no two are alike."""
    return strong().model_copy(
        update={
            "rotation": 180.0,
            "zoom": (0.8, 1.5),
            "stretch": 0.2,
            "shift": 0.12,
            "brightness": 0.3,
            "contrast": 0.3,
            "saturation": 0.3,
            "hue": 0.05,
        }
    )


@augments.register("acne-severity")
def acne_severity() -> Augment:
    """Colour and brightness jitter for the variation inside a grade that the acne severity study names (ours)."""
    return Augment(hflip=True, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02)


@augments.register("isic2019")
def isic2019() -> Augment:
    """The ISIC 2019 study's CNN and Xception: horizontal mirror, a tenth of a full turn (36 degrees), zoom by 0.1."""
    return Augment(hflip=True, rotation=36, zoom=(0.9, 1.1))


@augments.register("isic2019-vgg19")
def isic2019_vgg19() -> Augment:
    """The ISIC 2019 study's VGG19: mirror, any turn, zoom by 0.1."""
    return Augment(hflip=True, rotation=180, zoom=(0.9, 1.1))


@augments.register("acne-types")
def acne_types() -> Augment:
    """The acne types study: rotation and zoom (0.1, ours) and mirror images in both axes (ours)."""
    return Augment(hflip=True, vflip=True, rotation=36, zoom=(0.9, 1.1))


@augments.register("dermamnist")
def dermamnist() -> Augment:
    """The DermaMNIST study: none is described."""
    return Augment()


@augments.register("six-diseases")
def six_diseases() -> Augment:
    """The six-disease study: none is described."""
    return Augment()


# Recipes


@recipes.register("demo")
def demo() -> Recipe:
    """A small network from scratch on the demo's pictures: minutes on two cores, no weights needed."""
    return Recipe(
        name="demo",
        description="A small CNN trained from scratch on drawn pictures.",
        images=Images(size=96),
        split=Split(test=0.25, val=0.15),
        augment=Augment(hflip=True, vflip=True, quarter_turns=True, rotation=20, zoom=(0.9, 1.15), brightness=0.1),
        model=Model(
            backbone="plain_cnn",
            weights="none",
            head=("avgpool", "dropout:0.2"),
            options={"channels": [24, 48, 96, 128], "batchnorm": True},
        ),
        loss=Loss(class_weights="balanced"),
        stages=(Stage(epochs=16, lr=3e-3, weight_decay=1e-4, schedule="cosine", warmup=0.1, monitor="balanced_accuracy"),),
        train=Train(batch_size=32),
    )


@recipes.register("probe")
def probe() -> Recipe:
    """A linear head on a frozen MobileNetV2: the quickest honest answer for any data."""
    return Recipe(
        name="probe",
        description="Frozen MobileNetV2 at 224 pixels, linear head.",
        images=Images(size=224, fit="crop"),
        # Adam's weight decay is an L2 penalty here: the optimum is logistic regression's, so the last epoch is the one to keep
        stages=(Stage(epochs=60, train="head", lr=5e-3, optimizer="adam", weight_decay=1.5e-3, schedule="cosine", restore_best=False),),
        train=Train(batch_size=128, views=4),
        predict=Predict(views=4),
    )


@recipes.register("finetune")
def finetune() -> Recipe:
    """MobileNetV2, all layers, resolution growing: the quickest good model on two cores."""
    return Recipe(
        name="finetune",
        description="MobileNetV2, all layers trained at 128, 160 and 192 pixels, answers averaged over eight views at 224.",
        images=Images(size=224, fit="crop"),
        augment=Augment(
            hflip=True,
            vflip=True,
            quarter_turns=True,
            rotation=20,
            zoom=(0.9, 1.7),
            stretch=0.15,
            shift=0.08,
            brightness=0.25,
            contrast=0.2,
            saturation=0.25,
            hue=0.03,
        ),
        # half-strength logit adjustment: rare classes gain sensitivity, accuracy keeps most of its height
        loss=Loss(name="logit_adjusted", options={"tau": 0.5, "label_smoothing": 0.05}),
        stages=(Stage(epochs=21, lr=1e-3, weight_decay=0.03, schedule="cosine", warmup=0.2, restore_best=False),),
        train=Train(batch_size=32, size=(128, 160, 192), ema=0.998),
        predict=Predict(views=8),
    )


@recipes.register("ham10000-probe")
def ham10000_probe() -> Recipe:
    """The probe for HAM10000: whole image squeezed into the square, so that nothing is cut off."""
    return probe().changed(
        name="ham10000-probe", description="HAM10000: frozen MobileNetV2 at 224 pixels, linear head.", **{"images.fit": "squash"}
    )


@recipes.register("ham10000-probe1")
def ham10000_probe1() -> Recipe:
    """The same from one view of each image, as it is."""
    return ham10000_probe().changed(
        name="ham10000-probe1",
        description="HAM10000: frozen MobileNetV2 at 224 pixels, linear head, one view.",
        **{"train.views": 1, "predict.views": 1},
    )


@recipes.register("ham10000-probe8")
def ham10000_probe8() -> Recipe:
    """The same over all eight symmetries of each image, in training and in the answer."""
    return ham10000_probe().changed(
        name="ham10000-probe8",
        description="HAM10000: frozen MobileNetV2 at 224 pixels, linear head, eight views.",
        **{"train.views": 8, "predict.views": 8},
    )


@recipes.register("ham10000-probe-balanced")
def ham10000_probe_balanced() -> Recipe:
    """Eight views with balanced class weights; eight because validation was better with them than with four."""
    return ham10000_probe8().changed(
        name="ham10000-probe-balanced",
        description="HAM10000: frozen MobileNetV2 at 224 pixels, linear head, eight views, balanced class weights.",
        **{"loss.class_weights": "balanced"},
    )


@recipes.register("ham10000-finetune")
def ham10000_finetune() -> Recipe:
    """Fine-tuning for HAM10000: the whole image squeezed into the square."""
    return finetune().changed(name="ham10000-finetune", **{"images.fit": "squash"})
