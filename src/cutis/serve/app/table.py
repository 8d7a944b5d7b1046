"""All pictures as a table that sorts, opens a picture and can be downloaded."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

import pandas as pd
import streamlit as st

from cutis.serve.answers import Answer
from cutis.serve.app import answer, markup
from cutis.serve.app.markup import block
from cutis.serve.app.visit import Dropped, Failed
from cutis.serve.records import UNREADABLE, Table, record

if TYPE_CHECKING:
    from cutis.serve.app.screen import Screen

PICTURES: Final = "view_picture"
HEAD, ROW, MOST = 40, 52, 12  # pixels of the table's head and of a row; rows that are seen without scrolling
SAID: Final = 5
"""Pictures that cannot be read of which each is named; the table has them all."""


def show(screen: Screen) -> None:
    """The table, once every picture is answered."""
    say = screen.say
    progress = st.empty()
    for done in screen.visit.answer(screen.which, screen.model, screen.dropped):
        total = len(screen.dropped)
        progress.progress(min(1.0, done / total), say("working_many", done=done, total=total))
    progress.empty()
    st.html(block("sentence", _counts(screen), of="page.html"))
    failures = _failures(screen)
    if failures:
        shown, rest = failures[:SAID], len(failures) - SAID
        st.html(block("failure", say("failed"), [*shown, *([say("failed_more", n=rest)] if rest > 0 else [])]))
    table = _table(screen)
    st.dataframe(
        table,
        height=HEAD + ROW * min(len(table), MOST),
        hide_index=True,
        key=f"table-{screen.which}-{say.code}",
        on_select=lambda: _open(screen),
        selection_mode="single-row",
        row_height=ROW,
        column_config={
            say("column_picture"): st.column_config.ImageColumn(width="small"),
            say("column_confidence"): st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent"),
        },
        alt=say("table_alt"),
    )
    st.html(block("sentence", say("table_hint"), True, of="page.html"))
    st.download_button(say("table_csv"), lambda: csv(screen), "cutis-answers.csv", "text/csv", on_click="ignore")


def csv(screen: Screen) -> bytes:
    """Every picture in the order they were dropped, as ``cutis predict`` writes answers; those without one have their row too."""
    lines = [
        record(one.name, (found.reason or f"fault {found.fault}") if isinstance(found, Failed) else found) for one, found in _found(screen)
    ]
    about = screen.model.bundle.about
    return Table(screen.model.classes).csv(lines, version=about.version, notice=about.notice)


def _table(screen: Screen) -> pd.DataFrame:
    """What is seen of each picture; confidence cut to per mille, so that only certainty reads as 100 per cent."""
    say, rows = screen.say, []
    for one, found in _found(screen):
        rows.append(
            {
                say("column_picture"): screen.visit.thumbs.get(one.id, markup.NOTHING),
                say("column_verdict"): say(f"verdict_{_verdict(found)}"),
                say("column_answer"): "" if isinstance(found, Failed) else found.predicted,
                say("column_confidence"): None if isinstance(found, Failed) else math.floor(1000 * found.confidence) / 1000,
                say("column_possible"): "" if isinstance(found, Failed) else say.either(found.possible),
                say("column_name"): one.name,
            }
        )
    return pd.DataFrame(rows)


def _failures(screen: Screen) -> list[str]:
    """A sentence for each picture that has no answer."""
    return [answer.sentence(one, found, screen.say) for one, found in _found(screen) if isinstance(found, Failed)]


def _counts(screen: Screen) -> str:
    kinds = Counter(_verdict(found) for _, found in _found(screen))
    told = {"answered": "answer", "unsure": "not sure", "outside": "out of scope", "failed": UNREADABLE}
    return screen.say("table_sentence", **{place: kinds[kind] for place, kind in told.items()})


def _found(screen: Screen) -> list[tuple[Dropped, Answer | Failed]]:
    """Each picture with its answer, in the order they were dropped."""
    return [(one, screen.visit.answers[screen.which, one.id]) for one in screen.dropped]


def _verdict(found: Answer | Failed) -> str:
    return UNREADABLE if isinstance(found, Failed) else found.verdict


def _open(screen: Screen) -> None:
    """Show the picture of the row that was chosen."""
    chosen = st.session_state[f"table-{screen.which}-{screen.say.code}"].selection.rows
    if chosen:
        st.session_state["chosen"] = screen.dropped[chosen[0]].id
        st.session_state[f"view-{screen.say.code}"] = screen.say(PICTURES)
