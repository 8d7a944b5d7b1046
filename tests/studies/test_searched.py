"""An arm that searches: as many candidates as the scale allows, judged on validation, the best one trained on and tested alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cutis.data import readers, synthetic
from cutis.jobs import pipeline
from cutis.recipe import Balance, Images, Model, Recipe, Split, Stage, Train
from cutis.runs import Run
from cutis.studies.catalog import Given, Scale, Study
from cutis.studies.searched import Searched
from cutis.studies.work import Work

CNN = Recipe(
    name="cnn",
    images=Images(size=16),
    model=Model(backbone="plain_cnn", weights="none", head=("flatten", "dense:8", "relu"), options={"channels": [4]}),
    stages=(Stage(epochs=2, lr=1e-3, optimizer="adam"),),
    train=Train(batch_size=32),
)
ARM = Searched(name="search", recipe=CNN, then=(Stage(epochs=3),), balance=Balance(name="sampling"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return readers.read(str(synthetic.write(tmp_path_factory.mktemp("pictures"), lesions=40, size=20, difficulty=0.2, seed=0)))


def work(pictures: pd.DataFrame, out: Path) -> Work:
    scale = Scale("cpu", candidates=4, replicates=100)
    study = Study(name="s", title="S", paper="", needs="", arms=(ARM,), cpu=scale, split=Split(test=0.3, val=0.2))
    return Work(study, Given(pictures), scale, out)


def test_the_best_candidate_is_trained_on_balanced_and_tested(
    pictures: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[Path, set[Any]]] = []
    real = pipeline.train

    def watched(table: pd.DataFrame, spec: Recipe, out: Path, **options: Any) -> Run:
        trained.append((Path(out), set(table["split"].dropna())))
        if len(trained) == 3:  # dies in the third candidate
            raise KeyboardInterrupt
        return real(table, spec, out, **options)

    monkeypatch.setattr(pipeline, "train", watched)
    with pytest.raises(KeyboardInterrupt):
        ARM.make(work(pictures, tmp_path))
    run = ARM.make(work(pictures, tmp_path))
    folder = tmp_path / "search"
    names = [out.name for out, _ in trained]
    assert names == ["000", "001", "002", "002", "003", "search"]
    assert all(parts == {"train", "val"} for _, parts in trained[:-1])
    rows = pd.read_csv(folder / "search.csv")
    assert list(rows["number"]) == [0, 1, 2, 3]
    assert list(rows["generation"]) == [0, 0, 1, 1]
    best = rows.sort_values(["value", "number"], ascending=[False, True]).iloc[0]
    assert run.recipe.model.head == ("flatten", f"dense:{int(best['units'])}", "relu", f"dropout:{best['dropout']}")
    assert [(s.epochs, s.lr, s.balance and s.balance.name) for s in run.recipe.stages] == [
        (2, best["lr"], None),
        (3, best["lr"], "sampling"),
    ]
    assert sorted(p.name for p in (folder / "candidates").iterdir()) == ["000.csv", "001.csv", "002.csv", "003.csv"]
    history = pd.read_csv(folder / "candidates" / "000.csv")
    assert rows["value"][0] == pytest.approx(history["val_accuracy"].max())
    test = run.predictions("test").known()
    assert run.metrics["test"]["accuracy"]["value"] == pytest.approx(np.mean(test.probabilities.argmax(1) == test.labels))
    assert "The search" in (folder / "report.html").read_text()
    assert ARM.make(work(pictures, tmp_path)).folder == folder  # found again
    assert len(trained) == 6


def test_its_plan_is_the_network_with_all_stages() -> None:
    (plan,) = ARM.plan()
    assert [(s.epochs, s.balance and s.balance.name) for s in plan.stages] == [(2, None), (3, "sampling")]
    assert plan.model == CNN.model
