"""What the documents tell a user to type: every command and option exists, and every link between them leads somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cutis.cli import app

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each line that calls cutis in a block of shell."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["cutis"]:
                yield words[1:]


def resolved(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words call, and the words that remain for it."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        options = {name for parameter in command.params for name in parameter.opts}
        while words and words[0] in options:
            flag = next(p for p in command.params if words[0] in p.opts).is_flag
            words = words[1 if flag else 2 :]
        if not words:
            break
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_options_exist(document: Path) -> None:
    for words in commands(document.read_text("utf-8")):
        command, rest = resolved(words)
        known = {name for parameter in command.params for name in parameter.opts}
        for word in rest:
            option = word.split("=")[0]
            assert not option.startswith("--") or option in known, f"cutis {shlex.join(words)}: there is no {option}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target, _, part in re.findall(r"\]\(((?!https?:)[^)#\s]*)(#([^)\s]*))?\)", document.read_text("utf-8")):
        file = (document.parent / target).resolve() if target else document
        assert file.exists(), f"{document.name} links to {target}"
        if part and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.casefold()).replace(" ", "-") for heading in headings}
            assert part in anchors, f"{document.name} links to {target}#{part}"
