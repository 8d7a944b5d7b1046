"""``import cutis``: light, and the names it gives."""

import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import cutis
from cutis.errors import ArtifactError, CutisError, DataError


def test_import_is_light_and_gives_the_public_names() -> None:
    code = """
import sys, cutis
heavy = {"torch", "pandas", "numpy", "sklearn", "cutis.jobs.pipeline"} & sys.modules.keys()
assert not heavy, heavy
assert {*cutis.__all__} <= {*dir(cutis)}
import cutis.train.losses
assert callable(cutis.train) and cutis.train.losses.losses
for name in cutis.__all__:
    assert callable(getattr(cutis, name)), name
from cutis import CutisClassifier, evaluate, train
assert callable(train) and callable(evaluate)
print(cutis.__version__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == cutis.__version__
    with pytest.raises(AttributeError, match="module 'cutis' has no attribute 'trian'"):
        _ = cutis.trian  # type: ignore[attr-defined]


def test_rooms_that_bear_the_name_of_a_function_are_both() -> None:
    import cutis.evaluate.metrics

    assert "accuracy" in cutis.evaluate.metrics.metrics  # type: ignore[attr-defined]
    assert inspect.ismodule(cutis.evaluate)
    with pytest.raises(ArtifactError, match=r"nowhere is not a run"):
        cutis.evaluate("nowhere", "data.csv", "name")
    with pytest.raises(DataError, match="There is no file or folder"):
        cutis.train(["nowhere.csv", "there.csv"])
    import cutis.ensemble.combiners

    assert "stacking" in cutis.ensemble.combiners.combiners  # type: ignore[attr-defined]
    with pytest.raises(ArtifactError, match=r"nowhere is not a run"):
        cutis.ensemble(["nowhere", "there"])
    import cutis.search.space

    assert cutis.search.space.PUBLISHED.units_1 == 112  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="There is no file or folder"):
        cutis.search("nowhere.csv")
    import cutis.explain.cam
    import cutis.export.bundle

    assert "gradcam" in cutis.explain.cam.cams  # type: ignore[attr-defined]
    for verb in (cutis.explain, cutis.export):
        with pytest.raises(ArtifactError, match=r"nowhere is not a run"):
            verb("nowhere")  # type: ignore[operator]
    with pytest.raises(ArtifactError, match="nowhere"):
        cutis.Predictor.open("nowhere")


def test_a_study_is_refused_by_name_scale_and_data(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": ["a.jpg"], "label": ["a"]})
    for name, scale, message in (("acne", "cpu", "acne-severity"), ("acne-types", "large", "Known: cpu, full, smoke")):
        with pytest.raises(CutisError, match=message):
            cutis.study(name, table, tmp_path / "study", scale=scale)
    with pytest.raises(DataError, match="There is no file or folder"):
        cutis.study("acne-types", "nowhere.csv", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_table_can_be_given_with_labels_renamed(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").write_bytes(b"")
    table = cutis.read(tmp_path)
    assert isinstance(table, pd.DataFrame)
    with pytest.raises(DataError, match=r"training part has both \(2\)|leave nothing for"):
        cutis.train(table, "demo", tmp_path / "run", map={"a": "both", "b": "both"}, settings=["split.test=0", "split.val=0"])
    assert not (tmp_path / "run").exists()
