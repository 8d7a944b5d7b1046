"""Readers, and the general ones among them: each knows one way in which images and their labels are laid out on disk.

A reader takes a path and returns rows, or None where the path is not of its kind. Rows need ``image`` (as the source names it;
``readers.read`` finds the files below ``attrs["root"]``, by default the folder of the path) and may have any other column of the
table. The reader that was registered last is asked first: these, those of ``archives``, then a plugin's are ever more special.
"""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cutis.data import delimited
from cutis.data.lookup import scan
from cutis.data.table import part
from cutis.errors import DataError
from cutis.registry import Registry

Reader = Callable[[Path], pd.DataFrame | None]


class Readers(Registry[Reader]):
    """Readers in the order in which they are asked."""

    def newest_first(self) -> list[tuple[str, Reader]]:
        """Pairs of name and reader, the last registered first."""
        self._fill()
        return list(self._items.items())[::-1]


readers = Readers("reader", "cutis.data.archives")

# Names that people give to the columns of the table; the first that is there is taken.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "image_id", "file_name", "filename", "file", "image_path", "filepath", "file_path", "path", "image_name",
              "img_id", "img", "isic_id", "ddi_file", "md5hash"),
    "label": ("label", "labels", "class", "class_name", "category", "diagnosis", "diagnostic", "dx", "disease", "target", "grade",
              "severity"),
    "lesion": ("lesion", "lesion_id"),
    "patient": ("patient", "patient_id", "subject", "subject_id"),
    "group": ("group", "group_id"),
    "split": ("split", "set", "subset", "partition"),
    "sex": ("sex", "gender"),
    "age": ("age", "age_approx"),
    "site": ("site", "localization", "localisation", "anatom_site_general", "body_site", "region", "location"),
    "skin_tone": ("skin_tone", "fitzpatrick", "fitspatrick", "fitzpatrick_scale", "fitzpatrick_skin_type", "skin_type"),
    "source": ("source", "dataset", "attribution", "clinic", "camera"),
}  # fmt: skip


def renamed(path: Path, needs: tuple[str, ...], **sources: str) -> pd.DataFrame | None:
    """Rows of a delimited file that has the columns ``needs``; ``sources`` gives the file's column for columns of the table.

    A column of the file that has such a name but another role is kept as NAME_given.
    """
    header = delimited.header(path)
    if not set(needs) <= set(header):
        return None
    sources = {ours: theirs for ours, theirs in sources.items() if theirs in header}
    rows = delimited.rows(path, text=[theirs for ours, theirs in sources.items() if ours != "age"])
    other = {ours: f"{ours}_given" for ours, theirs in sources.items() if theirs != ours}
    return rows.rename(columns=other | {theirs: ours for ours, theirs in sources.items()})


def by_synonyms(header: tuple[str, ...]) -> dict[str, str]:
    """For each column of the table, the file's column that holds it by its usual names."""
    spelt = {name.casefold(): name for name in reversed(header)}
    found = {ours: [spelt[n] for n in names if n in spelt] for ours, names in SYNONYMS.items()}
    return {ours: names[0] for ours, names in found.items() if names}


@readers.register("folder")
def folder(path: Path) -> pd.DataFrame | None:
    """A class-per-folder tree: CLASS/image, with train, val, test (by any usual name) above or below the class, or without."""
    if not path.is_dir():
        return None
    listing = scan(path)
    trees = [(image, image.split("/")[:-1]) for image in listing.images]
    placed = [(image, folders) for image, folders in trees if folders]
    while placed and len({f[0] for _, f in placed}) == 1 and not part(placed[0][1][0]) and all(len(f) > 1 for _, f in placed):
        placed = [(image, folders[1:]) for image, folders in placed]  # one folder around everything
    rows = []
    for image, folders in placed:
        parts = [part(name) for name in folders[:2]]
        at = next((i for i, p in enumerate(parts) if p), None)
        names = [name for i, name in enumerate(folders) if i != at]
        if names:
            rows.append((image, names[0], parts[at] if at is not None else None))
    table = pd.DataFrame(rows, columns=["image", "label", "split"])
    if table["label"].nunique() < 2:
        return None
    notes = listing.notes
    if len(table) < len(trees):
        notes.append(f"{len(trees) - len(table)} images are in no class folder and are left out.")
    last = table["image"].str.rsplit("/", n=1).str[-1]
    again = last[last.duplicated()]
    if len(again):
        notes.append(f"{again.nunique()} file names occur in several folders, such as {again.iloc[0]}; paths tell them apart.")
    table.attrs = {"notes": notes, "found": True}
    return table


@readers.register("csv")
def csv(path: Path) -> pd.DataFrame | None:
    """Any delimited file with a column for the image and one for the label, by their usual names; others as far as they are known."""
    columns = by_synonyms(delimited.header(path))
    if not {"image", "label"} <= columns.keys():
        return None
    rows = renamed(path, (), **columns)
    assert rows is not None
    if columns.get("split", "split").casefold() != "split" and rows["split"].dropna().map(part).isna().any():
        rows = rows.rename(columns={"split": columns["split"]})  # a "set" or "subset" of another meaning
    return rows


@readers.register("huggingface")
def huggingface(path: Path) -> pd.DataFrame | None:
    """Hugging Face's image folder: metadata.csv with file_name, at the top or in each of train, test, ...; label a column or the folder."""
    if path.is_dir():
        inner = sorted(p for p in path.glob("*/metadata.csv") if part(p.parent.name))
        tables = [(p.parent.name, rows) for p in inner if (rows := huggingface(p)) is not None]
        if not tables or (path / "metadata.csv").is_file():
            return None
        rows = pd.concat([r.assign(image=f"{name}/" + r["image"], split=part(name)) for name, r in tables], ignore_index=True)
        rows.attrs = {"files": inner}
        return rows
    header = delimited.header(path)
    if path.name != "metadata.csv" or "file_name" not in header:
        return None
    rows = renamed(path, (), **by_synonyms(header) | {"image": "file_name"})
    assert rows is not None
    folders = rows["image"].str.split("/")
    if "label" not in rows:
        rows["label"] = folders.str[-2]
    if "split" not in rows:
        rows["split"] = folders.str[0].map(part, na_action="ignore")
    return rows


# MedMNIST's order of HAM10000's classes (medmnist/info.py; Yang et al. 2023, doi:10.1038/s41597-022-01721-8).
MEDMNIST: Mapping[str, tuple[str, ...]] = {"dermamnist": ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")}


@readers.register("medmnist")
def medmnist(path: Path) -> pd.DataFrame | None:
    """A MedMNIST file: {train,val,test}_images (N x S x S [x 3], uint8) and _labels (N x 1); image keys are file.npz::array::row."""
    if path.suffix.lower() != ".npz" or not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as arrays:
        parts = [p for p in ("train", "val", "test") if {f"{p}_images", f"{p}_labels"} <= set(arrays.files)]
        if not parts:
            return None
        names = next((names for known, names in MEDMNIST.items() if path.name.lower().startswith(known)), ())
        tables = []
        for p in parts:
            with archive.open(f"{p}_images.npy") as file:  # the header says the shape; the pixels stay on disk
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
            try:
                labels = arrays[f"{p}_labels"]
            except (ValueError, zipfile.BadZipFile) as error:
                raise DataError(f"{path}: {p}_labels cannot be read ({error}). Cutis reads plain arrays, never pickled objects.") from error
            if dtype != np.uint8 or len(shape) not in (3, 4) or labels.size != shape[0] or labels.dtype.kind not in "iu":
                raise DataError(
                    f"{path} has {p}_images of shape {shape} and type {dtype}, and {p}_labels of shape {labels.shape}. "
                    "Cutis reads uint8 images N x S x S or N x S x S x 3 with one whole-number label each."
                )
            text = [names[k] if 0 <= k < len(names) else str(k) for k in labels.ravel().tolist()]
            images = [f"{path.name}::{p}_images::{i}" for i in range(len(text))]
            tables.append(pd.DataFrame({"image": images, "label": text, "split": p}))
    rows = pd.concat(tables, ignore_index=True)
    rows.attrs = {"found": True}
    return rows
