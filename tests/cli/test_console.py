"""Plain progress tells how long a part still takes, from when its present round began."""

import time

import pytest

from cutis.cli.console import PlainProgress


def test_the_time_left_is_of_the_present_round(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = PlainProgress()
    for round_begins, total in ((0.0, 64), (5000.0, 1512)):  # the second round has more steps than the first had
        for i, done in enumerate(range(64, total + 1, 64)):
            now = round_begins + 4.0 * i
            progress.step("predict", done, total)
    told = capsys.readouterr().err.splitlines()
    # 4 s for 64 images, 62.5 ms each, and 1,384 are to come
    assert told[0] == "Predicting: 128 of 1,512, 1 min 26 s left"
