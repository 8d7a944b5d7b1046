"""A case on one page, as HTML that opens without a network and as PDF; neither holds the file's name or any of its metadata."""

import io
from dataclasses import dataclass
from datetime import datetime

from cutis.export.about import About
from cutis.serve.app import markup, pdf, view
from cutis.serve.app.languages import Language
from cutis.serve.app.visit import Opened
from cutis.serve.pictures import overlay, within

OPACITY = 0.5


@dataclass(frozen=True)
class Sheet:
    """What one page tells; ``of`` and ``member``: whose heat map (none: of the predicted class, all members joined)."""

    about: About
    found: Opened
    say: Language
    of: str | None = None
    member: str | None = None

    def html(self) -> bytes:
        """UTF-8."""
        say, answer, heat = self.say, self.found.answer, self.found.heat
        rows = view.bars(answer, self.about, say)
        values = {
            "say": say,
            "about": self.about,
            "verdict": view.verdict(answer, self.about, say),
            "bars": rows[: view.BARS],
            "rest": rows[view.BARS :],
            "hint": view.hint(answer, self.about, say),
            "votes": view.votes(answer, say),
            "notes": [view.note(note, say) for note in answer.notes],
            "watched": view.watched(answer.met, say),
            "photo": markup.photo(self.found.picture.pixels),
            "map": None if heat is None else markup.mapped(heat.over(self._of, self.member, markup.small(heat.photo))),
            "scale": markup.scale(),
            "caption": self._caption,
            "when": self._when,
            "style": markup.style(),
        }
        return markup.environment().get_template("sheet.html").render(**values).encode()

    def pdf(self) -> bytes:
        """One page of A4."""
        heat, photo = self.found.heat, within(self.found.picture.pixels, markup.SHOWN)
        mapped = None if heat is None else overlay(photo, heat.over(self._of, self.member, photo.shape[:2]), OPACITY)
        answer, say = self.found.answer, self.say
        out = io.BytesIO()
        pdf.write(
            out,
            pdf.Page(
                title=say("sheet_title"),
                notice=say("notice"),
                verdict=view.verdict(answer, self.about, say),
                bars=view.bars(answer, self.about, say)[: view.BARS],
                hint=view.hint(answer, self.about, say),
                watched=[f"{w.name}: {say('watch_met' if w.met else 'watch_not')} ({say('watch_score', score=w.score, line=w.line)})"
                         for w in view.watched(answer.met, say)],
                photo=photo,
                mapped=mapped,
                captions=(say("photo"), self._caption),
                facts=[
                    self._votes,
                    f"{say('sheet_model')}: {self.about.about.title or self.about.name}",
                    f"{say('sheet_version')}: {self.about.version} · {self._when}",
                    self.about.about.figure,
                ],
                not_for=(say("sheet_not_for"), list(self.about.about.not_for)),
                headings=(say("bars"), say("watch")),
            ),
        )  # fmt: skip
        return out.getvalue()

    @property
    def _of(self) -> str:
        return self.of or self.found.answer.predicted

    @property
    def _votes(self) -> str:
        """What each member says by itself, on one line; empty where one network answers alone."""
        said = "; ".join(f"{vote.member}: {vote.name} {vote.told}" for vote in view.votes(self.found.answer, self.say))
        return f"{self.say('votes')}: {said}" if said else ""

    @property
    def _caption(self) -> str:
        by = self.say("joined" if len(self.about.members) > 1 else "one_model")
        return self.say("map_caption", name=self._of, member=self.member or by)

    @property
    def _when(self) -> str:
        return self.say("sheet_made", when=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"))
