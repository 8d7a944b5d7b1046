"""Trainings that are killed, or told to stop, again and again: whatever happens, the final weights are those of an undisturbed one."""

import random
import signal
import time
from pathlib import Path

import pytest
import torch
from tiny import FAULTS, RECIPE, Training, figures, fit, result, same

from cutis.errors import ArtifactError
from cutis.recipe import Recipe
from cutis.train.checkpoint import Checkpoint

# Between them: kept features and streamed ones, all three optimisers, plateau, cosine with warm-up, moving average, dropout,
# augmentation, mixing, sampling, growing sizes, clipping, a partly frozen backbone, best weights and last ones.
RECIPES = {
    "kept features, then all layers": RECIPE.changed(
        **{"augment": {"hflip": True, "rotation": 30, "brightness": 0.2}, "train.ema": 0.9, "train.clip": 1.0, "train.views": 4}
    ).changed(
        stages=[
            {"epochs": 3, "train": "head", "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.01},
            {"epochs": 4, "optimizer": "sgd", "lr": 0.2, "schedule": "plateau", "plateau": 1, "patience": 3, "monitor": "accuracy"},
        ]
    ),
    "streamed, last block, then all layers": RECIPE.changed(
        **{
            "augment": {"quarter_turns": True, "mixup": 0.4, "cutmix": 1.0},
            "balance": {"name": "sampling"},
            "loss": {"name": "logit_adjusted", "options": {"label_smoothing": 0.1}},
            "train.views": 0,
            "train.size": [16, 24],
        }
    ).changed(
        stages=[
            {"epochs": 1, "train": "head", "optimizer": "adam", "lr": 0.01},
            {"epochs": 2, "train": "last:1", "optimizer": "adam", "lr": 0.01, "restore_best": False},
            {"epochs": 4, "optimizer": "adamw", "lr": 0.02, "schedule": "cosine", "warmup": 0.3, "weight_decay": 0.1},
        ]
    ),
    "other weights and other drawings a stage": RECIPE.changed(
        **{
            "balance": {"name": "sampling", "repeats": "transformed"},
            "train.views": 3,
            "train.view_kind": "augmented",
            "evaluate.stages": True,
        }
    ).changed(
        stages=[
            {"epochs": 3, "train": "head", "lr": 0.01},
            {"epochs": 3, "train": "head", "lr": 0.01, "class_weights": "effective:0.9"},
            {"epochs": 3, "lr": 0.01, "balance": {"name": "count", "options": {"count": 20}, "repeats": "mixed"}},
        ]
    ),
}


def undisturbed(spec: Recipe, folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, str]]]:
    model, history = fit(spec, folder)
    return model.state_dict(), figures(history)


def agree(spec: Recipe, folder: Path) -> bool:
    """Whether the training in ``folder`` came to what an undisturbed one comes to."""
    weights, history = undisturbed(spec, folder.parent / "undisturbed")
    got, told = result(folder)
    return same(got, weights) and told == history


@pytest.mark.parametrize("name", RECIPES)
def test_fault_t1_killed_at_any_moment_it_goes_on_to_the_same_weights(tmp_path: Path, name: str) -> None:
    spec, rng, kills = RECIPES[name], random.Random(name), 0
    while True:
        training = Training(spec, tmp_path / "run")
        if not training.run_for(rng.randint(1, 7)):
            assert training.end() == 0
            break
        time.sleep(rng.uniform(0, 0.02))  # somewhere within a step, a save, a validation
        kills += training.end(signal.SIGKILL) == -signal.SIGKILL
    assert kills >= 5
    assert agree(spec, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", RECIPES)
def test_fault_t1_many_more_kills(tmp_path: Path, name: str, seed: int) -> None:
    spec, rng = RECIPES[name], random.Random(f"{name} {seed}")
    while True:
        training = Training(spec, tmp_path / "run", every=rng.choice([0.0, 0.02, 0.1]))
        if not training.run_for(rng.randint(1, 20)):
            assert training.end() == 0
            break
        time.sleep(rng.uniform(0, 0.05))
        training.end(signal.SIGKILL)
    assert agree(spec, tmp_path / "run")


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_t2_killed_during_a_save_the_old_or_the_new_file_loads(tmp_path: Path, fault: str) -> None:
    spec = RECIPES["streamed, last block, then all layers"]
    at = 20  # the third step of the last stage: 15 steps, two ends of stages and two steps have been saved before
    training = Training(spec, tmp_path / "run", fault=(fault, at))
    assert not training.run_for(10_000)
    assert training.end() == -signal.SIGKILL
    folder = tmp_path / "run" / "checkpoint"
    left_aside = [f.name for f in folder.iterdir() if f.name != "state.safetensors"]
    assert bool(left_aside) is (fault not in ("before the file is written", "after it is renamed"))
    saved = Checkpoint(tmp_path / "run").load(torch.device("cpu"))
    assert saved is not None
    assert [f.name for f in folder.iterdir()] == ["state.safetensors"], "what was left aside is cleared away"
    assert (saved[1]["stage"], saved[1]["epochs"], saved[1]["step"]) == (2, 3, 2 if fault == "after it is renamed" else 1)
    again = Training(spec, tmp_path / "run")
    assert again.end() == 0
    assert agree(spec, tmp_path / "run")


# weights after stage 1, checkpoint, the same of stage 2
@pytest.mark.parametrize(("save", "fault"), [*zip((1, 2, 3, 4, 1), FAULTS, strict=True)])
def test_fault_t2_killed_between_two_stages_the_weights_after_each_are_kept(tmp_path: Path, fault: str, save: int) -> None:
    spec = RECIPES["other weights and other drawings a stage"].changed(
        **{"stages.0.epochs": 1, "stages.1.epochs": 1, "stages.2.epochs": 1, "train.views": 2}
    )
    list(fit(spec, tmp_path / "whole", checkpoint=Checkpoint(tmp_path / "whole", 3600)))
    training = Training(spec, tmp_path / "run", every=3600, fault=(fault, save))
    assert not training.run_for(10_000)
    assert training.end() == -signal.SIGKILL
    assert Training(spec, tmp_path / "run", every=3600).end() == 0
    assert agree(spec, tmp_path / "run")
    for stage in (1, 2):
        states = [Checkpoint(tmp_path / name).stage(stage, torch.device("cpu")) for name in ("whole", "run")]
        assert same(*states)
    assert not same(*(Checkpoint(tmp_path / "run").stage(stage, torch.device("cpu")) for stage in (1, 2)))
    with pytest.raises(ArtifactError, match="after stage 3"):
        Checkpoint(tmp_path / "run").stage(3, torch.device("cpu"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_fault_t7_a_signal_saves_and_going_on_gives_the_same_weights(tmp_path: Path, number: signal.Signals) -> None:
    spec = RECIPES["streamed, last block, then all layers"]
    training = Training(spec, tmp_path / "run", every=3600)
    assert training.run_for(17)
    assert training.end(number) == 128 + number
    saved = Checkpoint(tmp_path / "run").load(torch.device("cpu"))
    assert saved is not None
    assert saved[1]["step"] + 5 * saved[1]["epochs"] >= 17, "no step is lost"
    assert not (tmp_path / "run" / "final.safetensors").exists()
    again = Training(spec, tmp_path / "run", every=3600)
    assert again.end() == 0
    assert agree(spec, tmp_path / "run")
