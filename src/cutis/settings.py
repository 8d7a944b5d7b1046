"""Settings as text: the dotted names of nested, checked fields, what they mean, and ``key=value`` put in its place."""

import json
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cutis.errors import CutisError
from cutis.registry import unknown


def fields(part: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all fields below a part, list items as ``0``; a part that may be absent is one field."""
    names = []
    for name, info in part.model_fields.items():
        inner: Any = info.annotation
        dotted = prefix + name
        if get_origin(inner) is tuple and isinstance(get_args(inner)[0], type) and issubclass(get_args(inner)[0], BaseModel):
            inner, dotted = get_args(inner)[0], dotted + ".0"
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += fields(inner, dotted + ".")
        else:
            names.append(dotted)
    return names


def explained(part: type[BaseModel]) -> list[dict[str, Any]]:
    """Every field below a part: dotted name, default, meaning."""
    rows = []
    for name in fields(part):
        info, at = _field(part, name.split("."))
        rows.append({"field": name, "default": at, "meaning": info.description or ""})
    return rows


def _field(part: type[BaseModel], path: list[str]) -> tuple[FieldInfo, Any]:
    """The definition of a field and its default."""
    info = part.model_fields[path[0]]
    rest = path[2:] if path[1:2] == ["0"] else path[1:]
    if not rest:
        return info, info.get_default(call_default_factory=True)
    inner = [a for a in (info.annotation, *get_args(info.annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
    return _field(inner[0], rest)


def value_of(text: str) -> Any:
    """What a setting's text means: JSON, else a list where it has commas, else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [value_of(t) for t in text.split(",") if t] if "," in text else text


def assign(data: Any, key: str, value: Any, known: Sequence[str]) -> None:
    """Put a value at a dotted key of nested plain data; ``options`` accept new keys, anything else must exist.

    Raises CutisError naming the nearest of ``known``.
    """
    path = key.split(".")
    for depth, step in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(data, list):
            if not step.isdigit() or int(step) >= len(data):
                raise CutisError(f"{key}: there is no item {step!r}; the recipe has {len(data)}, counted from 0.")
            index: Any = int(step)
        else:
            index = step
            free = "options" in path[:depth]
            if not isinstance(data, dict) or (step not in data and not free):
                raise CutisError(unknown("recipe field", key, known))
        if last:
            data[index] = value
        else:
            data = data.setdefault(index, {}) if isinstance(data, dict) else data[index]
