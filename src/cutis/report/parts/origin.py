"""Where a run was made: the command, what was overridden, weights, machine, versions and time."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from cutis.report import blocks, words
from cutis.report.context import Context, Part, parts


@parts.register("95 origin")
def origin(context: Context) -> Part | None:
    """The command, what was overridden, weights, machine, versions and time."""
    told = context.provenance
    if not told:
        return None
    seconds = told.get("seconds", {})
    total = sum(seconds.values())
    model, machine = told.get("model", {}), told.get("machine", {})
    facts = {
        "command": Markup("<code>{}</code>").format(told.get("command", "")),
        "overridden": ", ".join(told.get("overrides", [])) or "nothing",
        "when": " to ".join(str(told[k]) for k in ("started", "finished") if told.get(k)),
        "weights": f"{model.get('weights', '')} {_sha(model.get('weights_sha256'))}".strip(),
        "machine": ", ".join(_machine(machine)),
        "versions": ", ".join(f"{k} {v}" for k, v in {"cutis": told.get("cutis", ""), **told.get("versions", {})}.items()),
    }
    rows = [[name, words.duration(s), blocks.bar(s / total, words.per_cent(s / total))] for name, s in seconds.items() if total]
    body = [blocks.facts({k: v for k, v in facts.items() if v})]
    if rows:
        body.append(blocks.table("Time of each part", ["part", "time", "share"], rows))
    where = f" on {words.count(machine['cores'], 'core')}" if machine.get("cores") else ""
    return Part("Versions, machine and time", f"It took {words.duration(total)}{where}." if total else "Where it was made.", body)


def _sha(value: str | None) -> str:
    return f"(SHA-256 {value[:16]}…)" if value else ""


def _machine(machine: Mapping[str, Any]) -> list[str]:
    said = [str(machine["cpu"])] if machine.get("cpu") else []
    said += [words.count(machine["cores"], "core")] if machine.get("cores") else []
    said += [f"{machine['memory_gb']:g} GB memory"] if machine.get("memory_gb") else []
    return [*said, str(machine.get("gpu") or "no GPU")] if said else []
