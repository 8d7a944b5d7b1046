"""Going on with an interrupted run: only where there is one, and only with the data it began with."""

import pandas as pd

from cutis.errors import ArtifactError
from cutis.runs import Run


def begin(run: Run, resume: bool) -> None:
    """Refuse to write over a run, or to resume one that is not there or is finished."""
    exists = (run.folder / "recipe.json").is_file()
    if resume and not exists:
        raise ArtifactError(f"There is nothing to resume in {run.folder}. Start it without --resume.")
    if resume and run.finished:
        raise ArtifactError(f"The run in {run.folder} is finished. Look at {run.folder / 'report.html'}, or train into another --out.")
    if exists and not resume:
        what = "is finished" if run.finished else "was interrupted; go on with --resume"
        raise ArtifactError(f"{run.folder} holds a run already, which {what}. Give another --out, or delete the folder.")


def as_before(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the split that an interrupted run had. Raises ArtifactError where rows differ."""
    before = run.table.set_index("image")["split"]
    lost = before.index.difference(pd.Index(table["image"]))
    if len(lost):
        raise ArtifactError(
            f"The data changed since the run was interrupted: {len(lost)} images are gone, for example {lost[0]}. "
            "Restore them, or train anew."
        )
    return table.assign(split=table["image"].map(before))


def same_data(run: Run, table: pd.DataFrame) -> None:
    """Refuse to resume on other pixels or labels than those training began with."""
    if not (run.folder / "split.csv").is_file():
        return
    before, now = (t.set_index("image")[["label", "sha256"]].fillna("") for t in (run.table, table))
    images = before.index.union(now.index)
    changed = images[(before.reindex(images, fill_value="none") != now.reindex(images, fill_value="none")).any(axis=1)]
    if len(changed):
        raise ArtifactError(
            f"The data changed since the run was interrupted: {len(changed)} images differ in pixels or label, for example {changed[0]}. "
            "Restore them, or train anew into another --out."
        )
