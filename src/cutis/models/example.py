"""A network that answers drawn pictures, where no trained one is at hand to time and compare backends on."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from cutis.data import synthetic
from cutis.models import build
from cutis.models.backends import engine
from cutis.recipe import Images, Model, Recipe


def fitted(backbone: str, side: int, weights: str = "none", learn: int = 64, held_out: int = 128) -> tuple[build.Classifier, Tensor]:
    """The network with a logistic head on drawn pictures, and other pictures, uint8 N x side x side x 3.

    Noise would not do: a network answers it alike, so nothing could disagree. Random weights get the batch statistics of the
    pictures, without which activations die or explode. Raises CutisError where the backbone cannot be made.
    """
    drawn = [synthetic.draw(lesion, size=side) for lesion in range(learn + held_out)]
    pictures = torch.from_numpy(np.stack([picture for picture, _ in drawn]))
    classes, codes = np.unique([row["label"] for _, row in drawn[:learn]], return_inverse=True)
    spec = Recipe(images=Images(size=(side, side)), model=Model(backbone=backbone, weights=weights, head=("pool",)))
    model, _ = build.build(spec, [str(c) for c in classes])
    cpu = torch.device("cpu")
    build.placed(model, cpu)
    if weights == "none":
        _settle(model, pictures[:learn])
    run = engine(model, "features", (side, side), backend="eager", precision="fp32", dtype=torch.uint8, device=cpu)
    _fit_head(model, np.concatenate(list(run.stream(pictures[:learn].split(16)))), codes)
    return model, pictures[learn:]


def _settle(model: build.Classifier, pictures: Tensor) -> None:
    """Give the batch norms the statistics of these pictures (momentum None: the mean over all batches)."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    model.train()
    with torch.no_grad():
        for batch in pictures.split(32):
            model.features(batch.permute(0, 3, 1, 2).float() / 255)
    model.eval()


def _fit_head(model: build.Classifier, features: NDArray[np.float32], codes: NDArray[np.intp]) -> None:
    """Logistic regression on standardised features, written into the head's one dense layer."""
    mean, sd = features.mean(0), features.std(0) + 1e-6
    fit = LogisticRegression(C=0.01, max_iter=2000, tol=1e-3).fit((features - mean) / sd, codes)
    weight = fit.coef_ / sd
    bias = fit.intercept_ - weight @ mean
    if len(weight) == 1:  # two classes: scikit-learn gives the difference of their logits
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    dense = model.head[-1]
    assert isinstance(dense, nn.Linear)
    with torch.no_grad():
        dense.weight.copy_(torch.from_numpy(weight))
        dense.bias.copy_(torch.from_numpy(bias))
