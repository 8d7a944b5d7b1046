"""The page of a run: whole, offline, honest about leaks and small numbers, and deaf to hostile names."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cutis.evaluate.summary import spread, summarise
from cutis.recipe import Recipe
from cutis.report import page, words
from cutis.report.context import Context, Part, parts
from cutis.runs import Run

VOID = {"meta", "br", "img", "input", "hr", "link"}
SMALL = {"train": (30, 60), "val": (8, 10), "test": (12, 25)}
Make = Callable[..., Run]


class Walk(HTMLParser):
    """All elements with their attributes, the text without style sheets, and whether every element is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.pieces))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(make_run: Make, tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = make_run(tmp_path_factory.mktemp("ham"))
    page.write(made)
    return made


@pytest.fixture(scope="module")
def walk(run: Run) -> Walk:
    return Walk((run.folder / "report.html").read_text("utf-8"))


def written(run: Run) -> Walk:
    return Walk(page.write(run).read_text("utf-8"))


def test_the_page_is_well_formed_and_usable_without_eyes(walk: Walk) -> None:
    ids = Counter(attrs["id"] for _, attrs in walk.elements if "id" in attrs)
    assert max(ids.values()) == 1
    targets = {a["href"][1:] for a in walk.all("a") if (a["href"] or "").startswith("#")}  # type: ignore[index]
    assert targets <= set(ids)
    assert len(targets) >= 11
    assert [len(walk.all(tag)) for tag in ("h1", "main", "header", "footer", "nav")] == [1] * 5
    assert all(a.get("alt") for a in walk.all("img"))
    assert all(a.get("role") == "img" and a.get("aria-label") for a in walk.all("svg"))
    assert all(a.get("scope") for a in walk.all("th"))
    assert len(walk.all("svg")) == 1 + 7 + 7 + 1 + 2  # sensitivity, ROC, precision-recall, reliability, training


def test_the_page_asks_nothing_of_any_network(run: Run, walk: Walk) -> None:
    html = (run.folder / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|//\w|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", html))
    assert not walk.all("script") + walk.all("link") + walk.all("iframe")
    assert all((a["src"] or "").startswith("data:image/jpeg;base64,") for a in walk.all("img"))
    assert all(match[1].startswith("#") for match in re.finditer(r"url\(([^)]*)", html))
    assert len(html) < 5_000_000


def test_the_first_screen_says_what_how_good_against_what_and_not_for_what(run: Run, walk: Walk) -> None:
    test, text = run.metrics["test"], walk.text
    f = test["balanced_accuracy"]
    assert "A linear head on frozen MobileNetV2 features" in text
    assert "HAM10000_metadata.csv: 9,114 images of 5,611 lesions in 7 classes. Tested on 1,232 images, none of which" in text
    assert "shares a lesion or a picture with training." in text
    assert f"{f['value']:.3f} [{f['low']:.3f}, {f['high']:.3f}] 95 % interval, 1,232 images" in text
    assert "Better than always answering nv: the whole interval lies above the majority line (0.143)." in text
    assert "nv alone is 71 % of these images" in text  # 872 of 1,232
    assert "Anything but akiec, bcc, bkl, df, mel, nv or vasc" in text
    assert "the data do not name them" in text
    assert "On other data Not tested: how it does on images of another clinic or camera is not known." in text
    assert text.count(words.NOTICE) >= 2


def test_the_tables_hold_the_figures_of_metrics_json(run: Run, walk: Walk) -> None:
    for name in ("test", "val"):
        s = run.metrics[name]
        wanted = [s["accuracy"], s["auroc_macro"], s["ece"], *(f for c in s["per_class"].values() for f in c.values())]
        for f in wanted:
            assert f"{f['value']:.3f} [{f['low']:.3f}, {f['high']:.3f}]" in walk.text
    confusion = run.metrics["test"]["confusion"]
    malignant = [i for i, c in enumerate(run.metrics["test"]["classes"]) if c in ("akiec", "bcc", "mel")]
    called = sum(confusion[i][j] for i in malignant for j in range(7) if j not in malignant)
    assert f"{called} of 211 malignant images are called benign." in walk.text  # 43 + 63 + 105


def test_the_surest_mistakes_are_shown_with_ids_and_probabilities(run: Run, walk: Walk) -> None:
    p = run.predictions("test")
    best = p.probabilities.max(1)
    wrong = [i for i in (-best).argsort() if p.predicted[i] != p.labels[i]]
    first = wrong[0]
    assert p.images[first] in walk.text
    assert f"answered {p.classes[p.predicted[first]]} with probability {best[first]:.2f}" in " ".join(
        a["alt"] or "" for a in walk.all("img")
    )
    assert f"{len(wrong)} of 1,232 images get a wrong class" in walk.text


def test_the_recipe_is_told_and_our_choices_are_marked(walk: Walk) -> None:
    assert "the head alone, up to 12 epochs, adamw at 0.001" in walk.text
    assert "(ours) marks a choice that the publication leaves open: stages.0.lr." in walk.text
    assert [a["title"] for a in walk.all("span") if a.get("class") == "ours"] == ["stages.0.lr"]
    assert '"backbone": "mobilenetv2_100.ra_in1k"' in walk.text


def test_figures_are_files_with_the_notice_and_the_same_every_time(run: Run) -> None:
    files = sorted((run.folder / "figures").glob("*.svg"))
    before = {f.name: f.read_bytes() for f in [*files, run.folder / "report.html"]}
    assert {"confusion.svg", "roc-5-mel.svg", "reliability.svg", "loss.svg", "sensitivity.svg"} <= set(before)
    for file in files:
        text = " ".join(" ".join(ET.parse(file).getroot().itertext()).split())
        assert words.NOTICE in text, file.name
    page.write(run)
    assert before == {name: (run.folder / ("figures" if name.endswith("svg") else "") / name).read_bytes() for name in before}


def test_names_cannot_run_anything(make_run: Make, tmp_path: Path) -> None:
    evil = ("<img src=x onerror=alert(1)>", "</style><script>alert(1)</script> $x_1$ 'a' \"b\"")
    recipe = Recipe(name="<script>alert(2)</script>", description="<b onclick=alert(3)>bold</b>", assumptions=("<i>seed</i>",))
    walk = written(make_run(tmp_path, classes=evil, sizes=SMALL, recipe=recipe, pictures=0))
    assert not walk.all("script") + walk.all("img") + [a for _, a in walk.elements if any(k.startswith("on") for k in a)]
    assert evil[0] in walk.text
    assert "<b onclick=alert(3)>bold</b>" in walk.text
    for file in (tmp_path / "run" / "figures").glob("*.svg"):
        assert not [e for e in ET.parse(file).iter() if e.tag.endswith(("script", "img"))]


def test_a_class_with_one_image_has_no_figure(make_run: Make, tmp_path: Path) -> None:
    walk = written(
        make_run(tmp_path, classes=("a", "b", "c"), sizes={"train": (20, 20, 5), "val": (5, 5, 1), "test": (12, 12, 1)}, pictures=0)
    )
    assert "n/a (1 image)" in walk.text
    assert not re.search(r"\bnan\b", walk.text)


def test_people_that_training_hardly_saw_and_other_data_are_on_the_first_screen(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=("benign", "malignant"), sizes=SMALL, pictures=0)
    table = run.table
    table["age"] = [17.0] * 4 + [50.0] * (len(table) - 4)  # the first rows are of training
    table["skin_tone"] = ["5", "5"] + ["2"] * (len(table) - 2)
    run.save_table("split", table)
    f = run.metrics["val"]["balanced_accuracy"]
    run.metrics = run.metrics | {"clinic": run.metrics["val"]}
    text = written(run).text
    assert "People under 18: training has 4 images of them." in text
    assert "Skin of Fitzpatrick type 1, 3, 4, 5 or 6: training has 2 such images." in text
    assert f"clinic {f['value']:.3f} [{f['low']:.3f}, {f['high']:.3f}] of 18 images" in text


def test_of_many_classes_the_hardest_are_drawn(make_run: Make, tmp_path: Path) -> None:
    names = tuple(f"c{i:02d}" for i in range(15))
    run = make_run(tmp_path, classes=names, sizes=dict.fromkeys(("train", "val", "test"), (5,) * 15), pictures=0)
    walk = written(run)
    told = run.metrics["test"]["per_class"]
    hardest = sorted(names, key=lambda name: told[name]["auroc"]["value"])[:12]
    drawn = [f.stem.rpartition("-")[2] for f in (run.folder / "figures").glob("roc-*.svg")]
    assert sorted(drawn) == sorted(hardest)
    assert "Drawn are the 12 hardest of 15 classes." in walk.text


@pytest.mark.parametrize("leak", [True, False])
def test_a_run_with_leaks_says_so_on_its_page_and_in_its_figures(make_run: Make, tmp_path: Path, leak: bool) -> None:
    run = make_run(tmp_path, sizes=SMALL, classes=("benign", "malignant"), leak=leak, pictures=0)
    walk = written(run)
    assert ("Trained with leaks allowed: the figures are too good to be believed." in walk.text) is leak
    assert ("10 lesions (40 images) are in more than one part of the split." in walk.text) is leak
    assert ("none of which shares" in walk.text) is not leak
    assert [a["class"] for a in walk.all("div") if a.get("role") == "alert"] == ["banner"] * leak
    drawn = " ".join("".join(ET.parse(f).getroot().itertext()) for f in (run.folder / "figures").glob("*.svg"))
    assert ("Trained with leaks allowed" in drawn) is leak


def test_pictures_that_are_not_at_hand_have_a_placeholder(make_run: Make, tmp_path: Path) -> None:
    walk = written(make_run(tmp_path, sizes=SMALL, classes=("benign", "malignant"), pictures=0))
    assert "picture not at hand" in walk.text
    assert not walk.all("img")


def test_a_run_of_runs_shows_the_spread_and_links_its_parts(make_run: Make, tmp_path: Path) -> None:
    outer = make_run(tmp_path, sizes=SMALL, classes=("benign", "malignant"), pictures=0)
    sets = []
    for i in range(3):
        inner = make_run(tmp_path / f"made{i}", sizes=SMALL, classes=("benign", "malignant"), pictures=0, seed=i)
        (inner.folder).rename(outer.folder / f"fold-{i}")
        inner = Run(outer.folder / f"fold-{i}")
        page.write(inner)
        sets.append(summarise(inner.predictions("test"), replicates=100, majority="malignant"))
    for name in ("split.csv", "history.csv", "unreadable.csv"):
        (outer.folder / name).unlink()
    outer.metrics = {"test": {**outer.metrics["test"], "spread": spread(sets)}}
    walk = written(outer)
    told = spread(sets)["accuracy"]
    assert f"{told['mean']:.3f} ± {told['sd']:.3f} {' '.join(f'{v:.3f}' for v in told['runs'])}" in walk.text
    assert [a["href"] for a in walk.all("a") if "report.html" in (a["href"] or "")] == [f"fold-{i}/report.html" for i in range(3)]
    assert f"between {min(told['runs']):.3f} and {max(told['runs']):.3f} over 3 runs" in walk.text


def test_a_run_before_its_first_evaluation_has_a_page(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.recipe = Recipe(name="bare")
    assert "This run has not been evaluated yet." in written(run).text


def test_a_new_part_is_one_function(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(context: Context) -> Part:
        return Part("My part", f"{len(context.classes)} classes & more.")

    monkeypatch.setitem(parts._items, "99 mine", mine)
    walk = written(run)
    assert "7 classes & more." in walk.text
    assert any(a.get("id") == "mine" for a in walk.all("section"))
