"""The page's frame: head, language, the place where pictures are dropped, and the views below it. Runs inside Streamlit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from cutis.serve.app import about, answer, compare, markup, table
from cutis.serve.app.languages import Language, chosen, languages
from cutis.serve.app.markup import block
from cutis.serve.app.start import MEGABYTES, models
from cutis.serve.app.view import GREY, Bar
from cutis.serve.app.visit import AT_ONCE, Dropped, Visit, logged
from cutis.serve.predictor import Predictor


@dataclass(frozen=True)
class Screen:
    """What every view is given: the language, the models and which of them is looked through, the pictures, what the visit holds."""

    say: Language
    models: Sequence[Predictor]
    which: int
    dropped: Sequence[Dropped]
    visit: Visit

    @property
    def model(self) -> Predictor:
        """The model that is looked through."""
        return self.models[self.which]


VIEWS: dict[str, Callable[[Screen], None]] = {
    "view_picture": answer.show,
    "view_table": table.show,
    "view_compare": compare.show,
    "view_about": about.show,
}


def show() -> None:
    """The whole page."""
    st.set_page_config(page_title="Cutis", page_icon=markup.icon(), layout="wide", initial_sidebar_state="collapsed")
    found = models()
    visit: Visit = st.session_state.setdefault("visit", Visit())
    st.html(markup.style())
    say, which = _head(found)
    st.html(block("notice", say, of="page.html"))
    dropped = _dropped(say)
    visit.tidy(dropped)
    screen = Screen(say, found, which, dropped, visit)
    if not dropped:
        st.html(block("welcome", _classes(screen.model, say), say, of="page.html"))
        return about.show(screen)
    _views(screen)


def _head(found: Sequence[Predictor]) -> tuple[Language, int]:
    """Name of the model, or the choice of one, and the language."""
    wanted = st.session_state.get("language") or st.query_params.get("lang") or st.context.locale
    say = chosen(wanted)
    with st.container(horizontal=True, vertical_alignment="center", key="head"):
        which = 0
        if len(found) > 1:
            st.html(block("head", "", say, of="page.html"), width="content")
            names = [f"{i + 1} · {name(model)}" for i, model in enumerate(found)]
            which = st.selectbox(say("model"), range(len(found)), format_func=lambda i: names[i], key="model", label_visibility="collapsed")
        else:
            st.html(block("head", name(found[0]), say, of="page.html"))
        codes = list(languages())
        st.selectbox(
            "Language · Dil",
            codes,
            index=codes.index(say.code),
            format_func=lambda code: languages()[code]("language"),
            key="language",
            label_visibility="collapsed",
            width=130,
        )
    return say, which


def name(model: Predictor) -> str:
    """What a model is called on the page."""
    return model.bundle.about.about.title or model.bundle.about.name


def _dropped(say: Language) -> list[Dropped]:
    """The pictures that lie there now."""
    with st.container(key="drop"):
        st.html(markup.drop(say, MEGABYTES))
        files = st.file_uploader(say("drop"), accept_multiple_files=True, key="pictures", on_change=_many, args=(say,))
    if len(files) > AT_ONCE:
        st.html(block("notes", [say("too_many", limit=AT_ONCE)]))
    return [Dropped(file.file_id, file.name, file.getvalue()) for file in files[:AT_ONCE]]


def _many(say: Language) -> None:
    """Several pictures at once are looked at as a table first."""
    if len(st.session_state.pictures) > 1:
        st.session_state[f"view-{say.code}"] = say("view_table")


def _views(screen: Screen) -> None:
    views = {screen.say(key): show for key, show in VIEWS.items() if key != "view_compare" or len(screen.models) > 1}
    for tab, view in zip(st.tabs(list(views), key=f"view-{screen.say.code}", on_change="rerun"), views.values(), strict=True):
        with tab:
            if tab.open:
                view(screen)


def _classes(model: Predictor, say: Language) -> list[Bar]:
    colours = model.bundle.about.colours
    return [Bar(c, say.meaning(c), 0.0, "", colours.get(c, GREY), False) for c in model.classes]


def fault(error: Exception) -> None:
    """What is said where the page itself failed."""
    say = chosen(st.session_state.get("language") or st.context.locale)
    st.html(block("failure", say("fault"), [say("fault_sentence", id=logged(error))]))
