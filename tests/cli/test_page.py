"""cutis app: what is refused before a page is served."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cutis.runs import Run


def test_more_bundles_than_two_are_refused(cutis: Callable[..., Any]) -> None:
    answer = cutis("app", "a", "b", "c")
    assert answer.code == 2
    assert "one bundle, or two" in answer.err


def test_a_page_that_others_may_open_needs_names(cutis: Callable[..., Any]) -> None:
    answer = cutis("app", "bundle", "--host", "0.0.0.0")
    assert answer.code == 2
    assert "--allow-host NAME" in answer.err


def test_a_taken_port_is_told_at_once(cutis: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = cutis("app", "bundle", "--port", taken.getsockname()[1])
    assert answer.code == 2
    assert "Give another one: --port" in answer.err


def test_a_run_is_no_bundle(cutis: Callable[..., Any], bundle_run: "Run") -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = cutis("app", bundle_run.folder, "--port", port)
    assert answer.code == 6
    assert "cutis export" in answer.err
