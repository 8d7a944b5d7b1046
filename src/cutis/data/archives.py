"""Readers for the tables of public collections: the ISIC archive and its challenges, HAM10000, PAD-UFES-20."""

from pathlib import Path

import numpy as np
import pandas as pd

from cutis.data import delimited
from cutis.data.formats import by_synonyms, readers, renamed
from cutis.errors import DataError


@readers.register("isic-archive")
def isic_archive(path: Path) -> pd.DataFrame | None:
    """The ISIC archive's own metadata table (isic_id, diagnosis, ...); newer exports have diagnosis_1 (coarse) to diagnosis_5."""
    header = delimited.header(path)
    label = next((c for c in ("diagnosis", "diagnosis_3", "diagnosis_1") if c in header), "diagnosis")
    return renamed(
        path, ("isic_id", "attribution", label), image="isic_id", label=label, lesion="lesion_id", patient="patient_id", age="age_approx",
        sex="sex", site="anatom_site_general", source="attribution", skin_tone="fitzpatrick_skin_type",
    )  # fmt: skip


@readers.register("isic-2024")
def isic_2024(path: Path) -> pd.DataFrame | None:
    """ISIC 2024's train-metadata.csv: target 1 is malignant; images are crops from total-body photographs."""
    rows = renamed(
        path, ("isic_id", "target", "patient_id", "tbp_lv_location"), image="isic_id", label="target", lesion="lesion_id",
        patient="patient_id", age="age_approx", sex="sex", site="anatom_site_general", source="attribution",
    )  # fmt: skip
    return None if rows is None else rows.assign(label=rows["label"].map({"0": "benign", "1": "malignant"}))


@readers.register("isic-2020")
def isic_2020(path: Path) -> pd.DataFrame | None:
    """ISIC 2020's training ground truth: benign or malignant, with patient identifiers."""
    return renamed(
        path, ("image_name", "patient_id", "benign_malignant"), image="image_name", label="benign_malignant", lesion="lesion_id",
        patient="patient_id", age="age_approx", sex="sex", site="anatom_site_general_challenge",
    )  # fmt: skip


_CODES = frozenset({"MEL", "NV", "BCC", "AKIEC", "AK", "SCC", "BKL", "DF", "VASC", "UNK"})


@readers.register("isic-onehot")
def isic_onehot(path: Path) -> pd.DataFrame | None:
    """The ground truth of ISIC 2018 (task 3) and 2019: image, then a column of 0 and 1 for each class; metadata from a file beside it."""
    header = delimited.header(path)
    classes = [c for c in header if c in _CODES]
    if header[:1] != ("image",) or len(classes) < 2:
        return None
    rows = delimited.rows(path, text=["image"])
    values = rows[classes].to_numpy()
    if not np.isin(values, (0, 1)).all() or (values.sum(axis=1) > 1).any():
        bad = rows["image"][~np.isin(values, (0, 1)).all(axis=1) | (values.sum(axis=1) > 1)]
        raise DataError(f"{path} is not one-hot for {len(bad)} images, such as {bad.iloc[0]}: one class must be 1, all others 0.")
    label = pd.Series(np.array(classes, object)[values.argmax(axis=1)], rows.index).where(pd.Series(values.any(axis=1), rows.index))
    rows = rows.drop(columns=classes).assign(label=label)
    beside = _metadata_beside(path, rows["image"])
    if beside is None:
        rows.attrs["notes"] = [f"No metadata that knows the images of {path.name} is beside it: lesions are unknown."]
        return rows
    file, known = beside
    rows = rows.merge(known, on="image", how="left")
    rows.attrs = {"files": [path, file]}
    return rows


def _metadata_beside(path: Path, images: pd.Series) -> tuple[Path, pd.DataFrame] | None:
    """The file in the same folder that knows most of the images. One file only: each numbers lesions in its own way."""
    own = path.with_name(path.name.replace("GroundTruth", "Metadata"))
    others = [
        *sorted(path.parent.glob("*Metadata.csv")),
        *sorted(path.parent.glob("*LesionGroupings.csv")),
        path.with_name("isic_metadata.csv"),
    ]
    best: tuple[Path, pd.DataFrame] | None = None
    most = 0
    for file in [own, *others]:
        columns = by_synonyms(delimited.header(file))
        wanted = {k: v for k, v in columns.items() if k in ("image", "lesion", "patient", "age", "sex", "site", "source")}
        if file == path or not {"image", "lesion"} <= wanted.keys():
            continue
        rows = renamed(file, (), **wanted)
        assert rows is not None
        if (n := int(rows["image"].isin(images).sum())) > most:
            best, most = (file, rows[list(wanted)].drop_duplicates("image")), n
    return best


@readers.register("ham10000")
def ham10000(path: Path) -> pd.DataFrame | None:
    """HAM10000_metadata.csv; ``dataset`` is which of four clinics' collections an image is from, ``dx_type`` how it was diagnosed."""
    return renamed(
        path, ("lesion_id", "image_id", "dx", "dx_type"), image="image_id", label="dx", lesion="lesion_id", age="age", sex="sex",
        site="localization", source="dataset",
    )  # fmt: skip


@readers.register("pad-ufes-20")
def pad_ufes_20(path: Path) -> pd.DataFrame | None:
    """PAD-UFES-20's metadata.csv; a few lesion numbers occur under two patients, so patient and number together name a lesion."""
    rows = renamed(
        path, ("patient_id", "lesion_id", "img_id", "diagnostic"), image="img_id", label="diagnostic", lesion="lesion_id",
        patient="patient_id", age="age", sex="gender", site="region", skin_tone="fitspatrick",
    )  # fmt: skip
    return None if rows is None else rows.assign(lesion=rows["patient"] + "_" + rows["lesion"])
