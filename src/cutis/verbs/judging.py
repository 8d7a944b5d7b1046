"""The verbs that judge data and runs, for Python: audit, evaluate, compare, scope, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cutis.verbs import given

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cutis.data.masks import Masks
    from cutis.jobs.explaining import Explanation
    from cutis.jobs.inspection import Audit
    from cutis.progress import Progress
    from cutis.runs import Run
    from cutis.verbs.given import Data, Map


def audit(
    data: Data,
    out: str | Path = "audit",
    *,
    settings: Sequence[str] = (),
    map: Map = None,
    split: str | None = None,
    masks: Masks | str | Path | None = None,
    only: Sequence[str] = (),
    quick: bool = False,
    progress: Progress | None = None,
) -> Audit:
    """Look for what is wrong with images and labels and leave audit.html and audit.json in ``out``, as ``cutis audit`` does.

    ``data``, ``map`` and ``split``: as for ``train``; ``settings`` change the recipe whose backbone looks at the pictures. ``masks``: where
    lesions are, an .npz or a folder. ``only``: these checks; ``quick``: those that take no network and no minutes. The answer has
    ``findings``, ``sections`` and ``mend``, which writes a cleaned table. Raises CutisError (a ValueError) that says what to do.
    """
    from cutis import recipe as recipes
    from cutis.jobs import inspection

    table, _ = given.divided(data, map, split)
    spec = recipes.with_settings(recipes.load(inspection.RECIPE), settings)
    options: dict[str, Any] = {"checks": only, "quick": quick, "masks": given.masks(masks), "command": "cutis.audit", "progress": progress}
    return inspection.audit(table, out, spec=spec, **options)


def evaluate(
    run: Run | str | Path,
    data: Data,
    name: str,
    *,
    map: Map = None,
    ignore_unknown: bool = False,
    prior: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Answer other data with a run's model; the figures are added to the run under ``name`` and returned (docs/formats.md).

    ``data`` and ``map``: as for ``train``. ``prior``: how frequent each class is where these data are from; answers are then corrected for
    that, too. Raises DataError for labels the model does not know, unless ``ignore_unknown``.
    """
    from cutis.jobs import pipeline

    return pipeline.evaluate(
        given.run(run), given.table(data, map), name, ignore_unknown=ignore_unknown, prior=prior or {}, progress=progress
    )


def compare(
    runs: Sequence[Run | str | Path], out: str | Path | None = "compare", *, name: str = "test", figures: Sequence[str] = ()
) -> dict[str, Any]:
    """Set runs side by side on the images of the set ``name``, as ``cutis compare`` does; what compare.json holds (docs/formats.md).

    ``figures``: whole-table ones (``f1_macro``), of one class (``f1/mel``) or of each (``f1/*``). ``out``: the folder of compare.html and
    compare.json; None writes nothing. Raises DataError naming the runs that answered other images, CutisError for an unknown figure.
    """
    from pathlib import Path

    from cutis.jobs import comparison
    from cutis.report import compare as page

    folders = [run if isinstance(run, str | Path) else run.folder for run in runs]
    told = comparison.compare(folders, name=name, figures=figures, command="cutis.compare")
    if out is not None:
        page.write(Path(out), told)
    return told


def scope(
    run: Run | str | Path, data: str | Path | Sequence[str | Path] | None = None, name: str = "", *, progress: Progress | None = None
) -> dict[str, Any]:
    """What share of pictures a run refuses as unlike those it was trained on, as ``cutis scope`` does; what scope.json then holds.

    ``data``: folders or files of pictures, labelled or not, which are added to the run under ``name``; None: only the run's own validation
    and test images. Raises CutisError (a ValueError) that says what to do.
    """
    from cutis.data import piles
    from cutis.jobs import scoping

    return scoping.refuse(given.run(run), None if data is None else piles.read(*given.several(data)), name, progress)


def explain(
    run: Run | str | Path,
    images: str | Path | Sequence[str | Path] = (),
    *,
    name: str = "test",
    method: str = "gradcam",
    of: str = "predicted",
    masks: Masks | str | Path | None = None,
    count: int = 200,
    changed: int = 24,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Show what a run's answers rest on and measure whether that can be believed, as ``cutis explain`` does.

    ``images``: pictures, or keys of the run's own images, which are shown; none: ``count`` images of the set ``name`` are measured, of
    which ``changed`` are changed to test the maps (some 90 passes each), and the surest answers shown. ``method``: the heat map;
    ``of``: the class whose evidence it shows, ``predicted``, ``all`` or a name. ``masks``: as for ``audit``. The answer has ``page``,
    where explain.html lies, and ``told``, what explanation.json holds (docs/formats.md). Raises CutisError (a ValueError) that says what
    to do.
    """
    from pathlib import Path

    from cutis.jobs import explaining

    wish = explaining.Wish(method, of, count, changed, given.masks(masks))
    folder = None if out is None else Path(out)
    return explaining.explain(
        given.run(run), given.several(images), name=name, wish=wish, out=folder, command="cutis.explain", progress=progress
    )
