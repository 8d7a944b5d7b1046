"""Made-up tables of answers for the tests of evaluation."""

import numpy as np
import pytest

from cutis.predictions import Predictions


def answers(labels, probabilities, groups=None, classes=None):
    """Predictions from lists; images are numbered, and each is its own group unless said otherwise."""
    labels, probabilities = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
    images = np.array([f"i{i:05d}" for i in range(len(labels))])
    classes = classes or tuple("abcdefghij"[: probabilities.shape[1]])
    return Predictions(images, images.copy() if groups is None else np.asarray(groups, np.str_), labels, probabilities, classes)


def noisy(sizes, seed=0, views=1, strength=1.5):
    """Answers that are mostly right: ``sizes`` images of each class, ``views`` of them a group."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    scores = np.exp(rng.normal(size=(len(labels), len(sizes))) + strength * np.eye(len(sizes))[labels])
    groups = [f"g{label}-{i // views}" for label, size in enumerate(sizes) for i in range(size)]
    return answers(labels, scores / scores.sum(axis=1, keepdims=True), groups)


@pytest.fixture(name="answers")
def _answers():
    return answers


@pytest.fixture(name="noisy")
def _noisy():
    return noisy
