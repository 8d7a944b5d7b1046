"""The same picture, answered by two models side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from cutis.export.about import About
from cutis.serve.app import answer, markup, view
from cutis.serve.app.languages import Language
from cutis.serve.app.markup import block
from cutis.serve.app.visit import Failed

if TYPE_CHECKING:
    from cutis.serve.app.screen import Screen


def show(screen: Screen) -> None:
    """Both answers, whether they agree, and where each saw its evidence."""
    one, say = answer.choice(screen), screen.say
    with st.spinner(say("working"), show_time=False):
        found = [screen.visit.open(which, model, one) for which, model in enumerate(screen.models)]
    read = [each for each in found if not isinstance(each, Failed)]
    if len(read) == len(found):
        st.html(
            block(
                "sentence",
                _agreement([each.answer.verdict for each in read], [each.answer.predicted for each in read], say),
                of="page.html",
            )
        )
        st.html(block("once", markup.photo(read[0].picture.pixels), say("photo_alt"), say("photo")))
    for column, which, each in zip(st.columns(len(found), gap="large"), range(len(found)), found, strict=True):
        through, about = replace(screen, which=which), _coloured(screen.models[which].bundle.about, screen.models[0].bundle.about)
        with column:
            st.html(block("line", title(through), of="page.html"))
            if isinstance(each, Failed):
                st.html(answer.failure(through, one, each))
                continue
            st.html(block("verdict", view.verdict(each.answer, about, say)))
            if each.heat is not None:
                seen = each.heat.over(each.answer.predicted, None, markup.small(each.heat.photo))
                caption = say("map_caption", name=each.answer.predicted, member=answer.by(through, None))
                alt = say("map_alt", name=each.answer.predicted)
                st.html(block("mapped", markup.photo(each.picture.pixels), markup.mapped(seen), alt, caption))
            st.html(answer.bars(about, each, say))


def _coloured(about: About, first: About) -> About:
    """Classes of one name have one colour, the first model's."""
    return about.model_copy(update={"colours": {name: first.colours.get(name, own) for name, own in about.colours.items()}})


def title(screen: Screen) -> str:
    """The model's name and version."""
    about = screen.model.bundle.about
    return f"{screen.which + 1} · {about.about.title or about.name} · {about.version}"


def _agreement(verdicts: list[str], predicted: list[str], say: Language) -> str:
    if any(verdict != "answer" for verdict in verdicts):
        return say("compare_sentence_open")
    if len(set(predicted)) == 1:
        return say("compare_sentence_same", name=predicted[0])
    return say("compare_sentence_differ", first=predicted[0], second=predicted[1])
