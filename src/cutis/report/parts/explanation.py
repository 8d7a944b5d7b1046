"""What the run looked at: where its heat maps lie, whether they are true of the network, and some of them."""

from markupsafe import Markup

from cutis.files import read_json
from cutis.report import blocks, explanation
from cutis.report.context import Context, Part, parts

SHOWN = 6


@parts.register("64 explanation")
def explained(context: Context) -> Part | None:
    """What explanation.json says, in short; the page of the explanation has the rest."""
    path = context.run.folder / explanation.FILE
    if not path.is_file():
        return None
    told = read_json(path)
    body: list[Markup] = []
    for part in (explanation.inside(told, context.note), explanation.faithful(told)):
        if part is not None:
            body += [blocks.fold(part.title, blocks.text(part.sentence), *part.body)]
    body.append(explanation.cases(context, told, SHOWN))
    if (context.run.folder / explanation.PAGE).is_file():
        body.append(Markup('<p>All images that were looked at: <a href="{0}">{0}</a>.</p>').format(explanation.PAGE))
    sentence = " ".join(explanation.verdicts(told)) or "Heat maps of some answers; nothing of them was measured."
    return Part("What it looked at", sentence, body)
