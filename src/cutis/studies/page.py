"""The page of a study: what was printed beside what was found, the arms, how they differ, and what is done otherwise here."""

from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from cutis.evaluate.paired import settled
from cutis.files import write_text
from cutis.report import blocks, words
from cutis.report.context import Part
from cutis.report.tabular import shown
from cutis.studies import tables
from cutis.studies.context import Context, parts
from cutis.studies.markdown import markdown
from cutis.studies.opening import opening

__all__ = ["Context", "Part", "parts", "write"]


def write(context: Context) -> Path:
    """Write ``study.html``, its figures and ``study.md`` into the study's folder; returns the page's path."""
    own = [(name, part) for name, make in OWN if (part := make(context)) is not None]
    further = [(name, part) for name in context.study.pages if (part := parts[name](context)) is not None]
    path = context.out / "study.html"
    # the study's own pictures stand after its figures and before how it was done
    write_text(path, blocks.page("study.html", opening=opening(context), parts=[*own[:-2], *further, *own[-2:]]))
    write_text(context.out / "study.md", markdown(context))
    return path


def _published(context: Context) -> Part | None:
    if not context.told["published"]:
        return None
    body: list[Markup] = []
    for table in context.told["published"]:
        body.append(shown(tables.published(table)))
        body.append(blocks.facts(tables.sides(context.told, table)))
        reasons = tables.why(table)
        body += [blocks.fold("What decided, and what else differs", shown(reasons))] if reasons.rows else []
    if not any(map(tables.printed, context.told["published"])):
        return Part(
            "Side by side", "Each cell has a figure with its interval; the last line is always answering the commonest class.", body
        )
    return Part("Printed beside ours", "Each cell has the printed figure, ours with its interval, and whether ours reaches it.", body)


def _arms(context: Context) -> Part:
    told = context.told
    body = [shown(tables.arms(told))]
    body.append(shown(tables.costs(told)))
    others = tables.sets(told)
    if others.rows:
        body.append(blocks.fold("Validation and other sets", shown(others)))
    lines = [f"{name}: {why}" for name, why in told["left_out"].items()]
    body += [blocks.fold(f"{words.count(len(lines), 'arm')} left out", blocks.items(lines))] if lines else []
    legend = "Milliseconds include all test-time views, not decoding; measured on this machine with what computed the answers."
    body.append(Markup('<p class="legend">{}</p>').format(legend))
    return Part("The arms", f"{words.count(len(told['arms']), 'arm')}; each links to its own report.", body)


def _pairs(context: Context) -> Part | None:
    found, cannot = tables.pairs(context.told), tables.impossible(context.told)
    if not found and not cannot:
        return None
    body = [shown(table) for table in found]
    asked = [f"{p['first']} against {p['second']}: {p['asks']}" for p in context.told["pairs"] if p["asks"]]
    body += [blocks.fold("What each comparison asks", blocks.items(asked))] if asked else []
    body += [blocks.fold(f"{words.count(len(cannot), 'pair')} not compared", blocks.items(cannot))] if cannot else []
    text = (
        "Differences are paired: both sides are measured on the same images and the same resamples of groups; over seeds, of their mean. "
        "The second p allows for all pairs (Holm). The last column: on how many images only the first, only the second is right, and the "
        "exact p of McNemar's test."
    )
    body.append(Markup('<p class="legend">{}</p>').format(text))
    clear = sum(settled(d) != 0 for p in context.told["pairs"] for d in p["figures"].values())
    total = sum(len(p["figures"]) for p in context.told["pairs"])
    sentence = f"In {clear} of {words.count(total, 'difference')} one arm is higher; the others cannot be told apart."
    return Part("Arm against arm", sentence, body)


def _subsets(context: Context) -> Part | None:
    found = tables.subsets(context.told)
    return Part("Parts of the test images", "The same answers, counted apart.", [shown(t) for t in found]) if found else None


def _honest(context: Context) -> Part:
    told = context.told
    body = [blocks.items(context.study.honest)] if context.study.honest else []
    changed, ours = tables.changes(told), tables.ours(told)
    body += [shown(changed)] if changed.rows else []
    body += [blocks.fold("What the publication leaves open (ours)", shown(ours))] if ours.rows else []
    sentence = "What an honest protocol changes, and what this machine's scale, backbone or weights change."
    return Part("What is done otherwise here", sentence, body)


def _origin(context: Context) -> Part:
    told = context.told
    facts = {
        "command": Markup("<code>{}</code>").format(told["command"]),
        "machine": ", ".join(f"{k} {v}" for k, v in told["machine"].items() if v),
        "versions": ", ".join(f"{k} {v}" for k, v in told["versions"].items()),
        "as data": "study.json; study.md has these tables as Markdown",
    }
    total = words.duration(sum(arm["seconds"] for arm in told["arms"]))
    return Part("Data, command and machine", f"All arms together took {total}.", [shown(tables.data(told)), blocks.facts(facts)])


OWN: Sequence[tuple[str, Callable[[Context], Part | None]]] = (
    ("published", _published),
    ("arms", _arms),
    ("pairs", _pairs),
    ("subsets", _subsets),
    ("otherwise", _honest),
    ("origin", _origin),
)
