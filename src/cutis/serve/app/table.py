"""All pictures as a table that sorts, opens a picture and can be downloaded."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import pandas as pd
import streamlit as st

from cutis.files import guarded
from cutis.serve.app import case
from cutis.serve.app.blocks import block
from cutis.serve.app.visit import Failed

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
            say("column_confidence"): st.column_config.ProgressColumn(min_value=0, max_value=100, format="%.0f %%"),
        },
        alt=say("table_alt"),
    )
    st.html(block("sentence", say("table_hint"), True, of="page.html"))
    st.download_button(say("table_csv"), lambda: csv(screen), "cutis-answers.csv", "text/csv", on_click="ignore")


def csv(screen: Screen) -> bytes:
    """Every answer with all probabilities, one row a picture, in the order they were dropped; no spreadsheet runs a name of it."""
    rows = []
    for one in screen.dropped:
        found = screen.visit.answers[screen.which, one.id]
        row: dict[str, object] = {"image": guarded(one.name)}
        if isinstance(found, Failed):
            rows.append(row | {"verdict": "unreadable", "reason": guarded(found.reason)})
            continue
        row |= {"verdict": found.verdict, "predicted": guarded(found.predicted)}
        row |= {f"p_{c}": round(float(p), 6) for c, p in zip(found.classes, found.probabilities, strict=True)}
        row |= {"confidence": round(found.confidence, 6), "possible": guarded(" ".join(found.possible)), "in_scope": found.in_scope}
        rows.append(row | {"strangeness": found.strangeness, "limit": found.limit, "model": screen.model.version})
    table = pd.DataFrame(rows)
    table["notice"] = screen.model.bundle.about.notice
    out = io.StringIO()
    table.to_csv(out, index=False, lineterminator="\r\n")
    return out.getvalue().encode("utf-8-sig")  # with the mark by which spreadsheets know UTF-8


def _table(screen: Screen) -> pd.DataFrame:
    """What is seen of each picture; confidence in per cent."""
    say, rows = screen.say, []
    for one in screen.dropped:
        found = screen.visit.answers[screen.which, one.id]
        rows.append(
            {
                say("column_picture"): screen.visit.thumbs.get(one.id),
                say("column_verdict"): say("verdict_unreadable" if isinstance(found, Failed) else f"verdict_{found.verdict}"),
                say("column_answer"): "" if isinstance(found, Failed) else found.predicted,
                say("column_confidence"): None if isinstance(found, Failed) else 100 * found.confidence,
                say("column_possible"): "" if isinstance(found, Failed) else say.either(found.possible),
                say("column_name"): one.name,
            }
        )
    return pd.DataFrame(rows)


def _failures(screen: Screen) -> list[str]:
    """A sentence for each picture that has no answer."""
    found = [(one, screen.visit.answers[screen.which, one.id]) for one in screen.dropped]
    return [case.sentence(one, failed, screen.say) for one, failed in found if isinstance(failed, Failed)]


def _counts(screen: Screen) -> str:
    found = [screen.visit.answers[screen.which, one.id] for one in screen.dropped]
    kinds = ["unreadable" if isinstance(one, Failed) else one.verdict for one in found]
    return screen.say(
        "table_sentence",
        answered=kinds.count("answer"),
        unsure=kinds.count("not sure"),
        outside=kinds.count("out of scope"),
        failed=kinds.count("unreadable"),
    )


def _open(screen: Screen) -> None:
    """Show the picture of the row that was chosen."""
    chosen = st.session_state[f"table-{screen.which}-{screen.say.code}"].selection.rows
    if chosen:
        st.session_state["chosen"] = screen.dropped[chosen[0]].id
        st.session_state[f"view-{screen.say.code}"] = screen.say(PICTURES)
