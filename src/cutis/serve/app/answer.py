"""One picture: the answer in a headline, the picture and its heat map, a bar per class, what is watched, what it resembles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from markupsafe import Markup

from cutis.export.about import About
from cutis.serve.app import markup, sheet, view
from cutis.serve.app.languages import Language
from cutis.serve.app.markup import block
from cutis.serve.app.visit import Dropped, Failed, Opened

if TYPE_CHECKING:
    from cutis.serve.app.screen import Screen


def show(screen: Screen) -> None:
    """The picture that is chosen."""
    one = choice(screen)
    with st.spinner(screen.say("working"), show_time=False):
        found = screen.visit.open(screen.which, screen.model, one)
    if isinstance(found, Failed):
        st.html(failure(screen, one, found))
        return
    say, about = screen.say, screen.model.bundle.about
    st.html(block("verdict", view.verdict(found.answer, about, say)))
    if found.answer.notes:
        st.html(block("notes", [view.note(note, say) for note in found.answer.notes]))
    lines = view.watched(found.answer.met, say) if found.answer.verdict != "out of scope" else []
    left, right = st.columns((3, 2), gap="large")
    with left:
        _pictures(screen, one, found)
        if lines:
            st.html(block("watch", lines, say))
    with right:
        st.html(bars(about, found, say))
        if found.answer.votes:
            st.html(block("votes", view.votes(found.answer, say), say))
        _near(screen, found)
        _keep(screen, one, found)


def choice(screen: Screen) -> Dropped:
    """Which of the dropped pictures is looked at; with several there is a list and a way to step through it."""
    ids = [one.id for one in screen.dropped]
    if st.session_state.get("chosen") not in ids:
        st.session_state["chosen"] = ids[0]
    if len(ids) > 1:
        say, here = screen.say, ids.index(st.session_state["chosen"])
        with st.container(horizontal=True, vertical_alignment="bottom", key="steps"):
            st.button(say("previous"), on_click=_step, args=(ids[here - 1],), disabled=here == 0)
            names = {one.id: f"{say('position', i=i + 1, n=len(ids))}   {one.name}" for i, one in enumerate(screen.dropped)}
            st.selectbox(say("choose"), ids, format_func=names.__getitem__, key="chosen", label_visibility="collapsed")
            st.button(say("next"), on_click=_step, args=(ids[(here + 1) % len(ids)],), disabled=here == len(ids) - 1)
    return screen.dropped[ids.index(st.session_state["chosen"])]


def bars(about: About, found: Opened, say: Language) -> Markup:
    """A bar per class."""
    rows = view.bars(found.answer, about, say)
    return block("bars", rows[: view.BARS], rows[view.BARS :], view.hint(found.answer, about, say), say)


def failure(screen: Screen, one: Dropped, failed: Failed) -> Markup:
    """What is said of a picture that has no answer."""
    return block("failure", screen.say("fault" if failed.fault else "failed"), [sentence(one, failed, screen.say)])


def sentence(one: Dropped, failed: Failed, say: Language) -> str:
    """Why a picture has no answer, and what to do."""
    if failed.fault:
        return say("fault_sentence", id=failed.fault)
    return say("failed_sentence", name=one.name, reason=say.told(failed.reason))


@st.fragment
def _pictures(screen: Screen, one: Dropped, found: Opened) -> None:
    """The picture and its heat map, with what can be asked of the map; only this part is made anew when it is."""
    say, heat = screen.say, found.heat
    photo = markup.photo(found.picture.pixels)
    if heat is None:
        st.html(block("photo", photo, say("photo_alt"), say("photo")) + block("notes", [say("map_none", reason=found.why)]))
        return
    shown, asked = st.container(), st.container(horizontal=True, vertical_alignment="top", key="asked")
    key, member = f"{screen.which}-{one.id}", None
    with asked:
        first = heat.classes.index(found.answer.predicted)
        name = st.selectbox(say("of_class"), heat.classes, index=first, format_func=lambda c: _named(c, found, say), key=f"class-{key}")
        if len(heat.members) > 1:
            member = st.selectbox(say("by_member"), [None, *heat.members], format_func=lambda m: m or say("joined"), key=f"member-{key}")
        opacity = st.slider(say("opacity"), 0, 100, 50, 5, format=say.percentage(), key="opacity")
    st.html(f"<style>html:root {{ --opacity: {opacity / 100}; }}</style>")
    seen = heat.over(name, member, markup.small(heat.photo))
    hints = [say("map_hint"), *([say("map_unseen")] if np.isnan(seen).any() else [])]
    if member is None and name == heat.classes[0] and heat.agreement is not None:  # it is of the first class alone
        hints.append(say("map_agreement", agreement=say.number(heat.agreement)))
    with shown:
        caption = say("map_caption", name=name, member=by(screen, member))
        st.html(block("pair", photo, markup.mapped(seen), say("map_alt", name=name), caption, markup.scale(), hints, say))


def by(screen: Screen, member: str | None) -> str:
    """Whose map it is, in words."""
    several = len(screen.model.bundle.members) > 1
    return member or screen.say("joined" if several else "one_model")


def _named(name: str, found: Opened, say: Language) -> str:
    probability = found.answer.probabilities[found.answer.classes.index(name)]
    return f"{name} · {say.share(float(probability))}"


def _near(screen: Screen, found: Opened) -> None:
    cases = screen.model.nearest(found.picture)
    if cases:
        colours = screen.model.bundle.about.colours
        shown = [
            {"source": markup.jpeg(c.image), "name": c.label, "colour": colours.get(c.label, view.GREY), "licence": c.licence}
            for c in cases
        ]
        st.html(block("near", shown, screen.say))


def _keep(screen: Screen, one: Dropped, found: Opened) -> None:
    """The case as one page, made when it is asked for. Its name is the model's, not the picture's: that may be a person's."""
    say, key = screen.say, f"{screen.which}-{one.id}"
    told = sheet.Sheet(screen.model.bundle.about, found, say, st.session_state.get(f"class-{key}"), st.session_state.get(f"member-{key}"))
    name = f"cutis-{screen.model.version}-{one.id[:8]}"
    st.html(block("sentence", say("keep"), of="page.html"))
    with st.container(horizontal=True):
        st.download_button(say("keep_pdf"), told.pdf, f"{name}.pdf", "application/pdf", on_click="ignore", key=f"pdf-{key}")
        st.download_button(say("keep_html"), told.html, f"{name}.html", "text/html", on_click="ignore", key=f"html-{key}")


def _step(chosen: str) -> None:
    st.session_state["chosen"] = chosen
