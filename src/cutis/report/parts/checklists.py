"""The reporting checklists of the field, answered as far as the run knows, with what is left for a person."""

from markupsafe import Markup

from cutis.report import blocks, words
from cutis.report.checklists import Answer, Checklist, Status, answers, checklists, counts
from cutis.report.context import Context, Part, parts

MARKS: dict[Status, str] = {"answered": "clear", "in part": "note", "open": "warning"}  # classes of style.css


@parts.register("96 checklists")
def checklist(context: Context) -> Part:
    """Each checklist behind a line: its items, what the run says, what is open."""
    found = [(each, answers(each, context)) for each in checklists()]
    told = [f"{each.name}: the run answers {_share(answered)}" for each, answered in found]
    body = [blocks.fold(f"{each.name}: {_open(answered)}", *_shown(each, answered, context)) for each, answered in found]
    note = Markup('<p class="legend">The items are in our own words: hand in the original form. An answer is only as true as the data.</p>')
    return Part("Checklists", f"{'; '.join(told)}.", [*body, note])


def _share(found: list[Answer]) -> str:
    n = counts(found)
    return f"{n['answered']} of {len(found)} items in full and {n['in part']} in part"


def _open(found: list[Answer]) -> str:
    left = sum(bool(answer.open) for answer in found)
    return f"{words.count(left, 'item')} wait{'s' * (left == 1)} for you" if left else "nothing is left for you"


def _shown(checklist: Checklist, found: list[Answer], context: Context) -> list[Markup]:
    columns: list[str | blocks.Column] = ["item", *(blocks.Column(c, text=True) for c in ("asks for", "the run says", "left for you"))]
    rows = [[str(a.item.item), _asked(a), _told(a, context), a.open] for a in found]
    about = Markup('<p class="legend">{}. {}.</p>').format(checklist.title, checklist.source)
    return [about, Markup('<div class="checklist">{}</div>').format(blocks.table(checklist.name, columns, rows, hidden=True))]


def _asked(answer: Answer) -> Markup:
    badge = Markup('<span class="{}"><span class="badge">{}</span></span>').format(MARKS[answer.status], answer.status)
    return Markup('<span class="quiet">{}</span><br>{}<br>{}').format(answer.item.section, answer.item.text, badge)


def _told(answer: Answer, context: Context) -> Markup:
    where = answer.item.where
    more = Markup(' <a href="#{}">{}</a>').format(where, context.written[where]) if where in context.written else Markup("")
    return Markup("{}{}").format(answer.told, more) if answer.told else Markup("")
