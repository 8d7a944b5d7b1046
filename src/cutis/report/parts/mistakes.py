"""The surest mistakes, as pictures with their ids; the malignant ones called benign first."""

import numpy as np
from markupsafe import Markup

from cutis.predictions import Predictions
from cutis.report import blocks, pictures, words
from cutis.report.context import Context, Part, costly, parts

SHOWN = 10


@parts.register("50 mistakes")
def mistakes(context: Context) -> Part | None:
    """Wrong answers of the main set, by falling probability of the answer."""
    answers = context.predictions(context.main) if context.main else None
    if answers is None:
        return None
    wrong = np.flatnonzero(answers.predicted != answers.labels)
    if not len(wrong):
        return Part("Mistakes", f"None of {words.count(len(answers.images), 'image')} gets a wrong class.")
    sure = answers.probabilities.max(axis=1)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
    cells = costly(answers.classes)
    missed = [int(i) for i in wrong if (answers.labels[i], answers.predicted[i]) in cells]
    body: list[Markup] = []
    if missed:
        body += [blocks.heading("Malignant called benign, the surest first"), _gallery(context, answers, missed[:SHOWN])]
    others = [int(i) for i in wrong if i not in missed]
    if others:
        title = "The surest of the other mistakes" if missed else "The surest mistakes"
        body += [blocks.heading(title), _gallery(context, answers, others[:SHOWN])]
    share = f"{len(wrong):,} of {words.count(len(answers.images), 'image')} get a wrong class"
    return Part("Mistakes", f"{share}; these are the ones it was surest of.", body)


def _gallery(context: Context, answers: Predictions, rows: list[int]) -> Markup:
    photos = []
    for i in rows:
        true, given = answers.classes[answers.labels[i]], answers.classes[answers.predicted[i]]
        p = answers.probabilities[i]
        caption = Markup("is {}, {:.2f}<br>answered {}, {:.2f}").format(
            context.chip(true), p[answers.labels[i]], context.chip(given), p[answers.predicted[i]]
        )
        about = f"{answers.images[i]}: is {true}, answered {given} with probability {p.max():.2f}"
        photos.append(blocks.Photo(str(answers.images[i]), caption, about))
    return pictures.thumbnails(context.root, photos, max_pixels=context.recipe.images.max_pixels)
