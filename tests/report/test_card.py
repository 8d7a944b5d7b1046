"""The model card: read back by Hugging Face's own reader, its figures those of the run, and no name of the data is markup."""

from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest

from cutis.recipe import Recipe
from cutis.report import page, words
from cutis.runs import Run

Make = Callable[..., Run]
SMALL = {"train": (30, 60), "val": (8, 10), "test": (12, 25)}


def card(run: Run) -> huggingface_hub.ModelCard:
    page.write(run)
    return huggingface_hub.ModelCard.load(run.folder / "card.md")


def test_the_hub_reads_the_figures_of_every_set_that_was_not_trained_on(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=("benign", "malignant"), sizes=SMALL, pictures=0)
    run.metrics = run.metrics | {"clinic": run.metrics["val"]}
    data = card(run).data
    found = {(r.dataset_split, r.metric_type): r.metric_value for r in data.eval_results or []}
    hub = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "auroc_macro": "roc_auc", "f1_macro": "f1"}
    wanted = {(s, theirs): run.metrics[s][ours]["value"] for s in ("test", "clinic") for ours, theirs in hub.items()}
    assert found == pytest.approx(wanted, abs=5e-5)
    assert data.model_name == "run"
    assert data.base_model == ["timm/mobilenetv2_100.ra_in1k"]
    assert data.pipeline_tag == "image-classification"


def test_the_card_has_the_hub_s_headings_the_notice_and_what_is_open(make_run: Make, tmp_path: Path) -> None:
    text = card(make_run(tmp_path, classes=("benign", "malignant"), sizes=SMALL, pictures=0)).text
    template = huggingface_hub.ModelCard.from_template(huggingface_hub.ModelCardData()).text
    theirs = {line.strip() for line in template.splitlines() if line.startswith("## ") and "[optional]" not in line}
    theirs -= {"## Environmental Impact", "## Model Card Contact"}  # hardware and hours stand under Technical Specifications
    assert theirs <= set(text.splitlines())
    assert words.NOTICE in text
    assert "*Open: Name the licence of the model, those who made it, and whom to ask.*" in text
    assert "| Balanced accuracy |" in text


def test_a_model_from_scratch_has_no_base_model_and_a_leak_is_told(make_run: Make, tmp_path: Path) -> None:
    recipe = Recipe(name="scratch").changed(**{"model.weights": "none"})
    run = make_run(tmp_path, classes=("benign", "malignant"), sizes=SMALL, pictures=0, leak=True, recipe=recipe)
    made = card(run)
    assert made.data.base_model is None
    assert "> **Trained with leaks allowed: the figures are too good to be believed.**" in made.text


def test_names_are_text_in_markdown_and_in_the_head(make_run: Make, tmp_path: Path) -> None:
    evil = ("<img src=x onerror=alert(1)>", "[a](javascript:alert(2)) | `b` *c*\nd")
    recipe = Recipe(name="x", description="<script>alert(3)</script>: - [")
    made = card(make_run(tmp_path, classes=evil, sizes=SMALL, pictures=0, recipe=recipe))
    assert "\\<img src=x onerror=alert(1)>" in made.text
    assert "# \\<script>alert(3)\\</script>: - [" in made.text
    for mark in ("<img", "<script"):
        assert made.text.count(mark) == made.text.count("\\" + mark)
    assert "](javascript" not in made.text


def test_no_folder_of_the_machine_and_no_image_stands_in_a_card(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=("benign", "malignant"), sizes=SMALL, pictures=0)
    text = card(run).content
    assert str(tmp_path) not in text
    assert "ISIC_" not in text


def test_a_run_before_its_first_evaluation_has_a_card(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.recipe = Recipe(name="bare")
    assert card(run).data.eval_results is None
