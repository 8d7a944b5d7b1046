"""An audit as a whole: the checks in their order, what is left in the folder, what is refused, and what an audit does to a run."""

import json
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import cutis
from cutis import Run
from cutis.audit import features
from cutis.audit.findings import Finding, Item, Section
from cutis.audit.subject import Check, Subject, checks
from cutis.data import synthetic
from cutis.errors import CutisError, DataError
from cutis.jobs import inspection, pipeline
from cutis.jobs.inspection import Audit
from cutis.progress import Progress
from cutis.recipe import Evaluation, Images, Model, Recipe, Stage
from cutis.train.checkpoint import Interrupted

TINY = Recipe(
    images=Images(size=16),
    model=Model(backbone="plain_cnn", weights="none", head=("avgpool",), options={"channels": [4]}),
    stages=(Stage(epochs=2),),
    evaluate=Evaluation(replicates=100),
)
SERIOUS = Finding("odd", "serious", "Three <b>images</b> are odd.", "Look at them.", (Item(("images/0.jpg",)),), rule="odd")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """labels.csv of 30 lesions; not to be changed."""
    return synthetic.write(tmp_path_factory.mktemp("pictures"), lesions=30, size=24, difficulty=0.1, seed=0)


@pytest.fixture
def table(drawn: Path) -> pd.DataFrame:
    return cutis.read(drawn)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two checks in the place of all others: one cheap, with a serious finding, and one that is not; which of them ran."""
    ran: list[str] = []

    def cheap(subject: Subject) -> Section:
        ran.append("cheap")
        assert len(subject.readable) == len(subject.rows)
        return Section("Cheap", "It is cheap.", (Finding("fine", "note", "A note."), SERIOUS), {"n": 3}, limits=("A limit.",))

    def dear(subject: Subject) -> Section | None:
        ran.append("dear")
        with subject.progress.part("dear") as on_step:
            on_step(1, 2)
            on_step(2, 2)
        assert subject.sections["cheap"].numbers == {"n": 3}
        return None

    assert list(checks)
    monkeypatch.setattr(checks, "_items", {"80 dear": Check(dear, cheap=False), "15 cheap": Check(cheap, cheap=True)})
    return ran


def trained(table: pd.DataFrame, out: Path, **options: object) -> Run:
    return pipeline.train(table, TINY, out, **options)  # type: ignore[arg-type]


def test_checks_run_in_their_order_and_leave_json_and_a_page(calls: list[str], table: pd.DataFrame, tmp_path: Path) -> None:
    audit = inspection.audit(table, tmp_path / "audit", spec=TINY, command="cutis audit x")
    assert calls == ["cheap", "dear"]
    assert list(audit.sections) == ["cheap"]
    assert audit.findings[0] is SERIOUS
    assert audit.serious == [SERIOUS]
    told = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert (told["format"], told["command"], told["quick"]) == ("cutis-audit-1", "cutis audit x", False)
    assert told["counts"] == audit.counts == {"serious": 1, "warning": 0, "note": 1}
    section = told["sections"]["cheap"]
    assert section["findings"][1]["items"] == [{"images": ["images/0.jpg"], "note": "", "score": None}]
    assert (section["findings"][1]["images"], section["numbers"], section["limits"]) == (1, {"n": 3}, ["A limit."])
    assert told["data"]["summary"]["images"] == len(table)
    assert told["data"]["files"][0]["path"] == "labels.csv"
    page = audit.page.read_text()
    assert "Three &lt;b&gt;images&lt;/b&gt; are odd." in page
    assert "Three <b>" not in page


def test_only_and_quick_choose_the_checks(calls: list[str], table: pd.DataFrame, tmp_path: Path) -> None:
    inspection.audit(table, tmp_path, spec=TINY, quick=True)
    assert calls == ["cheap"]
    assert inspection.chosen(["dear"], quick=True) == ["80 dear"]
    with pytest.raises(CutisError, match=r"Unknown check 'deer'. Did you mean 'dear'"):
        cutis.audit(table, tmp_path / "other", only=["deer"])
    assert not (tmp_path / "other").exists()


def test_the_checks_that_ship_have_an_order_and_the_quick_ones_need_no_network() -> None:
    names = list(checks)
    assert all(name.split()[0].isdigit() for name in names)
    assert {inspection.short(name) for name in names} >= {"files", "copies", "leakage", "labels", "shortcuts", "people"}
    assert {inspection.short(name) for name in inspection.chosen(quick=True)} == {"files", "copies", "leakage"}


def test_data_of_which_nothing_can_be_read_are_refused(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"None of the 2 images can be read: a/1.png \(not an image"):
        cutis.audit(tmp_path / "data", tmp_path / "audit", quick=True)
    assert not (tmp_path / "audit").exists()


def test_mending_needs_the_check_to_have_run(calls: list[str], table: pd.DataFrame, tmp_path: Path) -> None:
    audit = inspection.audit(table, tmp_path, spec=TINY)
    with pytest.raises(CutisError, match="needs the check 'copies'"):
        audit.mend(tmp_path / "clean.csv", leave_out=["copies"])


def test_features_are_of_a_pretrained_backbone_or_missing_with_advice(table: pd.DataFrame, tmp_path: Path) -> None:
    subject = cutis.audit(table, tmp_path, only=["files"], settings=["images.size=16"]).subject
    assert features.of(Subject(table, subject.cache, TINY)) is None
    assert "without pretrained weights" in Subject(table, subject.cache, TINY).lacking
    absent = subject.spec.changed(**{"model.backbone": "resnet18.a1_in1k"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUTIS_WEIGHTS", str(tmp_path))
        assert "cutis weights get resnet18.a1_in1k" in Subject(table, subject.cache, absent).lacking
        (tmp_path / "resnet18.a1_in1k.safetensors").write_bytes(b"damaged")
        with pytest.raises(CutisError, match="cannot be read as safetensors"):
            features.of(Subject(table, subject.cache, absent))


@pytest.mark.parametrize("how", ["quick", pytest.param("full", marks=pytest.mark.slow)])
def test_an_audit_changes_nothing_of_a_run(how: str, table: pd.DataFrame, tmp_path: Path) -> None:
    none, run = trained(table, tmp_path / "none"), trained(table, tmp_path / "run", audit=how)
    assert none.model_file.read_bytes() == run.model_file.read_bytes()
    assert none.predictions("test").probabilities.tolist() == run.predictions("test").probabilities.tolist()
    assert not (none.folder / "audit").exists()
    assert "audit.html" not in (none.folder / "report.html").read_text()
    page = (run.folder / "report.html").read_text()
    assert f"{'A quick audit of files, exact copies and groups' if how == 'quick' else 'An audit'} before training found " in page
    assert '<a href="audit/audit.html">' in page
    told = json.loads((run.folder / "audit" / "audit.json").read_text())
    assert sum(part["images"] for part in told["data"]["summary"]["splits"].values()) == len(table)


def test_random_streams_stand_where_they_stood(table: pd.DataFrame, tmp_path: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    cutis.audit(table, tmp_path, quick=True, settings=["images.size=16"])
    after = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    assert before[2] == after[2]


def test_what_is_serious_is_said_and_stands_on_the_page(
    calls: list[str], table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    progress = Progress()
    monkeypatch.setattr(progress, "say", lines.append)
    run = trained(table, tmp_path / "run", audit="quick", progress=progress)
    assert "Serious: Three <b>images</b> are odd." in lines
    page = (run.folder / "report.html").read_text()
    assert "1 serious finding and 1 note" in page
    assert "Three &lt;b&gt;images&lt;/b&gt; are odd." in page
    shutil.rmtree(run.folder / "audit")
    cutis.report.page.write(run)  # type: ignore[attr-defined]
    assert "audit.html" not in (run.folder / "report.html").read_text()


class Stopping(Progress):
    """Sends SIGTERM at a step of a part, or at a line."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def step(self, part: str, done: int, total: int) -> None:
        if part == self.at:
            signal.raise_signal(signal.SIGTERM)

    def say(self, text: str) -> None:
        if text.startswith(self.at):
            signal.raise_signal(signal.SIGTERM)


def test_an_audit_is_made_once_and_can_be_interrupted(calls: list[str], table: pd.DataFrame, tmp_path: Path) -> None:
    for at, ran in (("dear", ["cheap", "dear"]), ("Epoch 1", ["cheap", "dear"])):
        calls.clear()
        out = tmp_path / at

        def stop(progress: Progress, resume: bool = False, out: Path = out) -> Run:
            return trained(table, out, audit="full", resume=resume, progress=progress)

        with pytest.raises(Interrupted):
            stop(Stopping(at))
        done = (out / "audit" / "audit.json").is_file()
        assert done == (at == "Epoch 1")
        run = stop(Stopping("none"), resume=True)
        assert run.finished
        assert calls == (ran if done else ran * 2)


def test_a_run_of_runs_is_audited_once(calls: list[str], table: pd.DataFrame, tmp_path: Path) -> None:
    run = cutis.train(table, TINY, tmp_path / "run", seeds=2)
    assert calls == ["cheap"]
    assert '<a href="seed-0/audit/audit.html">' in (run.folder / "report.html").read_text()


@pytest.mark.slow
def test_features_are_those_that_training_keeps(data_root: Path, weights_root: Path, tmp_path: Path) -> None:
    table = cutis.read(data_root / "isic2018" / "HAM10000_metadata.csv")
    told = table.attrs
    table = table.groupby("label").head(10).reset_index(drop=True)
    table.attrs = told
    audit: Audit = cutis.audit(table, tmp_path / "audit", only=["files"])
    values = audit.subject.features
    assert values is not None
    assert values.shape == (70, 1280)
    assert audit.subject.lacking == ""
    passes: list[int] = []

    class Counting(Progress):
        def step(self, part: str, done: int, total: int) -> None:
            if part == "features":
                passes.append(total)

    cutis.train(table, "probe", tmp_path / "run", settings=["stages.0.epochs=1"], audit="none", progress=Counting())
    assert sum(passes) == 0
