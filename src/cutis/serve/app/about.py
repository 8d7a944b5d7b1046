"""What the model was made for, on what, how well it does and for whom it is weak: from the bundle's own sentences and its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from cutis.export.about import Input
from cutis.serve.app.languages import Language
from cutis.serve.app.markup import block

if TYPE_CHECKING:
    from cutis.serve.app.screen import Screen


def show(screen: Screen) -> None:
    """The sentences, the facts, and the whole card behind a line."""
    say, told = screen.say, screen.model.bundle.about
    facts = told.about
    weak = [line for line in (facts.weakest, facts.worst_group, facts.elsewhere, facts.leaks) if line]
    parts = [
        (say("about_task"), [facts.task] if facts.task else [], ""),
        (say("about_figure"), [" ".join(filter(None, [facts.figure, facts.verdict]))] if facts.figure else [], "strong"),
        (say("about_not_for"), list(facts.not_for), "alarm"),
        (say("about_weak"), weak if told.scope else [*weak, say("about_scope_none")], ""),
        (say("about_data"), [facts.data] if facts.data else [], ""),
    ]
    rows = [
        (say("about_version"), told.version),
        (say("about_made"), f"{told.made[:10]}, Cutis {told.cutis}"),
        (say("about_classes"), ", ".join(told.classes)),
        *((f"{say('about_members')}: {member.name}", _input(member.input, say)) for member in told.members),
    ]
    st.html(block("about", parts, rows, say, of="page.html"))
    card = screen.model.bundle.folder / "card.md"
    if card.is_file():
        with st.expander(say("about_card")):
            st.code(card.read_text("utf-8"), language=None, wrap_lines=True)


def _input(given: Input, say: Language) -> str:
    height, width = given.predict
    size = say("pixels", height=height, width=width)
    return size if given.views == 1 else f"{size}, {say('views', n=given.views)}"
