"""The catalogue: known public collections of skin images, what to expect of them, and whether a folder holds what it should."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cutis.data import delimited
from cutis.data.lookup import scan
from cutis.errors import DataError
from cutis.registry import unknown


@dataclass(frozen=True)
class Expected:
    """A file of a collection: a name or glob pattern, and its number of rows where it is a table."""

    file: str
    rows: int | None = None


@dataclass(frozen=True)
class Collection:
    """A public collection: ``images`` in all, images of each of its ``classes`` (0: not stated here), the ``reader`` for it ("": none)."""

    name: str
    title: str
    images: int
    classes: Mapping[str, int]
    licence: str
    citation: str
    where: str
    reader: str
    files: tuple[Expected, ...] = ()
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One thing that was looked for in a folder: what was expected, what was found, and whether that is right."""

    expected: str
    found: str
    ok: bool


_HAM = {"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}
_CRITIQUE = "Abhishek, Jain, Hamarneh 2025, Scientific Data 12:196, doi:10.1038/s41597-025-04382-5"
_BCN = "Hernandez-Perez et al. 2024, Scientific Data 11:641, doi:10.1038/s41597-024-03387-w"
_TSCHANDL = "Tschandl, Rosendahl, Kittler 2018, Scientific Data 5:180161, doi:10.1038/sdata.2018.161"


def _names(*classes: str) -> dict[str, int]:
    return dict.fromkeys(classes, 0)


_COLLECTIONS: Sequence[Collection] = (
    Collection(
        "ham10000",
        "HAM10000: dermoscopy of pigmented skin lesions, Vienna and Queensland; 7,470 lesions",
        10015,
        _HAM,
        "CC BY-NC 4.0",
        _TSCHANDL,
        "https://doi.org/10.7910/DVN/DBW86T",
        "ham10000",
        (Expected("HAM10000_metadata.csv", 10015),),
        (
            "1,956 lesions have several images: split by lesion. A random split by image puts the lesion of 35 % of test images in train.",
            "dx_type (how the diagnosis was made) gives the class away: histopathology was ordered for suspicious lesions.",
            "The four source clinics (dataset) differ in their share of each class.",
            "18 pairs of copies stand under different lesion ids.",
        ),
    ),
    Collection(
        "isic2018",
        "ISIC 2018 challenge, task 3: HAM10000 for training, 193 images for validation, 1,512 for test",
        11720,
        _names("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"),
        "CC BY-NC 4.0",
        f"Codella et al. 2019, arXiv:1902.03368; {_TSCHANDL}",
        "https://challenge.isic-archive.com/data/#2018",
        "isic-onehot",
        (
            Expected("ISIC2018_Task3_Training_GroundTruth.csv", 10015),
            Expected("ISIC2018_Task3_Validation_GroundTruth.csv", 193),
            Expected("ISIC2018_Task3_Test_GroundTruth.csv", 1512),
        ),
        ("The ground truth has no lesions: put the archive's isic_metadata.csv or the lesion groupings beside it.",),
    ),
    Collection(
        "isic2019",
        "ISIC 2019 challenge, training part: HAM10000, BCN20000 and MSK dermoscopy",
        25331,
        {"MEL": 4522, "NV": 12875, "BCC": 3323, "AK": 867, "BKL": 2624, "DF": 239, "VASC": 253, "SCC": 628},
        "CC BY-NC 4.0",
        f"{_TSCHANDL}; Codella et al. 2018, arXiv:1710.05006; {_BCN}",
        "https://challenge.isic-archive.com/data/#2019",
        "isic-onehot",
        (Expected("ISIC_2019_Training_GroundTruth.csv", 25331), Expected("ISIC_2019_Training_Metadata.csv", 25331)),
        (
            "It holds all of HAM10000: never test a model of the one on the other.",
            "Not every image has a lesion id; those without one count as lesions of their own.",
            "The sources differ in class shares, image size and framing, so the source can stand in for the class.",
        ),
    ),
    Collection(
        "isic2020",
        "ISIC 2020 challenge (SIIM-ISIC), training part: dermoscopy of 2,056 patients",
        33126,
        {"benign": 32542, "malignant": 584},
        "CC BY-NC 4.0",
        "Rotemberg et al. 2021, Scientific Data 8:34, doi:10.1038/s41597-021-00815-z",
        "https://challenge2020.isic-archive.com",
        "isic-2020",
        (Expected("ISIC_2020_Training_GroundTruth*.csv", 33126),),
        ("Split by patient: each has 16 lesions on average.", "1.8 % are malignant: accuracy says nothing.", "The organisers list copies."),
    ),
    Collection(
        "isic2024",
        "ISIC 2024 challenge (SLICE-3D): crops from 3D total-body photographs of 1,042 patients",
        401059,
        {"benign": 400666, "malignant": 393},
        "CC BY-NC 4.0; each image's own licence is in its row",
        "Kurtansky et al. 2024, Scientific Data 11:884, doi:10.1038/s41597-024-03743-w",
        "https://challenge2024.isic-archive.com",
        "isic-2024",
        (Expected("train-metadata.csv", 401059),),
        ("0.1 % are malignant: use the partial AUROC above 80 % sensitivity.", "Split by patient."),
    ),
    Collection(
        "bcn20000",
        "BCN20000: dermoscopy of Hospital Clinic Barcelona, 2010 to 2016, also of nails, mucosa and large lesions",
        18946,
        {},
        "CC BY-NC 4.0",
        _BCN,
        "https://www.isic-archive.com",
        "isic-archive",
        (),
        ("Much of it is part of ISIC 2019.", "Several images of one lesion are common: split by lesion."),
    ),
    Collection(
        "dermamnist",
        "DermaMNIST (MedMNIST v2): HAM10000 at 28, 64, 128 or 224 pixels with a given split 7,007 / 1,003 / 2,005",
        10015,
        _HAM,
        "CC BY-NC 4.0",
        f"Yang et al. 2023, Scientific Data 10:41, doi:10.1038/s41597-022-01721-8; {_TSCHANDL}",
        "https://medmnist.com",
        "medmnist",
        (Expected("dermamnist*.npz"),),
        (
            "The given split leaks: 1,006 lesions (2,398 images) are in more than one part.",
            "The file has no lesion ids, so Cutis cannot see that leak in it: use HAM10000's table with a corrected split.",
        ),
    ),
    Collection(
        "dermamnist-c",
        "DermaMNIST-C: DermaMNIST with a split that no lesion crosses; version 1 8,208 / 575 / 1,232, version 2 8,215 / 573 / 1,227",
        10015,
        _HAM,
        "CC BY-NC 4.0",
        _CRITIQUE,
        "https://arxiv.org/abs/2401.14497",
        "medmnist",
        (),
        ("Its test part is about 77 % nv: easier by composition than the official one. Always read it beside the majority line.",),
    ),
    Collection(
        "dermamnist-e",
        "DermaMNIST-E: trains on all of HAM10000, validates on the 193 and tests on the 1,512 images of ISIC 2018",
        11720,
        _names(*_HAM),
        "CC BY-NC 4.0",
        _CRITIQUE,
        "https://arxiv.org/abs/2401.14497",
        "medmnist",
        (),
        ("Cutis makes it from the tables: train=HAM10000_metadata.csv, val= and test= the ground truth of ISIC 2018.",),
    ),
    Collection(
        "pad-ufes-20",
        "PAD-UFES-20: smartphone photos from Espirito Santo, Brazil; 1,373 patients, 1,641 lesions, skin type and history",
        2298,
        {"ACK": 730, "BCC": 845, "MEL": 52, "NEV": 244, "SCC": 192, "SEK": 235},
        "CC BY 4.0",
        "Pacheco et al. 2020, Data in Brief 32:106221, doi:10.1016/j.dib.2020.106221",
        "https://data.mendeley.com/datasets/zr7vgbcyr2",
        "pad-ufes-20",
        (Expected("metadata.csv", 2298),),
        ("All cancers were biopsied, of the rest few: `biopsed` gives the class away.", "Split by patient.", "Skin type is often missing."),
    ),
    Collection(
        "fitzpatrick17k",
        "Fitzpatrick17k: clinical photos of 114 conditions from two online atlases, with Fitzpatrick skin type",
        16577,
        {},
        "labels CC BY-NC-SA 3.0; the images belong to the atlases",
        "Groh et al. 2021, CVPR workshops, arXiv:2104.09957",
        "https://github.com/mattgroh/fitzpatrick17k",
        "csv",
        (Expected("fitzpatrick17k.csv", 16577),),
        (f"It holds copies and wrong labels, and has no standard test part: {_CRITIQUE}.", "No patients or lesions are known."),
    ),
    Collection(
        "ddi",
        "DDI: clinical photos, Stanford, biopsied, chosen for diverse skin tones",
        656,
        {},
        "Stanford research use agreement",
        "Daneshjou et al. 2022, Science Advances 8:eabq6147, doi:10.1126/sciadv.abq6147",
        "https://ddi-dataset.github.io",
        "csv",
        (Expected("ddi_metadata.csv", 656),),
        ("skin_tone is 12, 34 or 56: pairs of Fitzpatrick types, kept as skin_tone_given.",
         "`disease` is read as label; for benign and malignant rename the column `malignant` to label."),
    ),
    Collection(
        "acne04",
        "ACNE04: faces with acne, four grades of severity (Hayashi's criterion) and lesion counts",
        1457,
        {},
        "no licence is stated; for research",
        "Wu et al. 2019, ICCV, pages 10642 to 10651",
        "https://github.com/xpwu95/LDL",
        "",
        (),
        ("The published folds share persons and copies between training and test.",
         "Grades are ordered: look at the quadratic-weighted kappa.",
         "Sort the images into one folder a grade, or write a CSV image,label."),
    ),
    Collection(
        "derm7pt",
        "Derm7pt: a clinical and a dermoscopic image of each case, with the seven-point checklist",
        2022,
        {},
        "for research, after registration",
        "Kawahara et al. 2019, IEEE JBHI 23:538, doi:10.1109/JBHI.2018.2824327",
        "https://derm.cs.sfu.ca",
        "",
        (Expected("meta.csv", 1011), Expected("train_indexes.csv"), Expected("valid_indexes.csv"), Expected("test_indexes.csv")),
        ("1,011 cases with two images each (columns derm and clinic): rename the one you want to image, and keep a case together.",),
    ),
    Collection(
        "dermnet",
        "DermNet: clinical photos of 23 groups of diseases from a teaching site, as spread on Kaggle with train and test folders",
        19559,
        {},
        "no licence is stated; the images belong to the site",
        "Kaggle dataset shubhamgoel27/dermnet",
        "https://www.kaggle.com/datasets/shubhamgoel27/dermnet",
        "folder",
        (Expected("train"), Expected("test")),
        ("Patients are not known, so photos of one may be in both its train and test folders.", "Many images carry a watermark."),
    ),
    Collection(
        "scin",
        "SCIN: photos taken by volunteers in the USA, with dermatologists' differential diagnoses and skin types; more than 10,000 images",
        0,
        {},
        "SCIN Data Use License",
        "Ward et al. 2024, JAMA Network Open 7:e2446615, doi:10.1001/jamanetworkopen.2024.46615",
        "https://github.com/google-research-datasets/scin",
        "",
        (Expected("scin_cases.csv"), Expected("scin_labels.csv")),
        ("Labels are weighted lists of conditions for a case with up to three images: choose one, write image,label,patient.",),
    ),
)  # fmt: skip

catalog: Mapping[str, Collection] = {c.name: c for c in _COLLECTIONS}


def show(name: str) -> list[str]:
    """What there is to know of a collection, in lines to print. Raises DataError for an unknown name."""
    c = _collection(name)
    classes = ", ".join(f"{k} {n:,}" if n else k for k, n in c.classes.items())
    lines = [
        f"{c.name}: {c.title}",
        f"  images    {c.images:,}" if c.images else "  images    see title",
        f"  classes   {classes}" if classes else "",
        f"  licence   {c.licence}",
        f"  cite      {c.citation}",
        f"  get       {c.where}",
        f"  files     {', '.join(e.file + (f' ({e.rows:,} rows)' if e.rows else '') for e in c.files)}" if c.files else "",
        f"  reader    {c.reader or 'none: make a CSV image,label or a folder for each class'}",
    ]
    return [line for line in lines if line] + [f"  note      {caveat}" for caveat in c.caveats]


def check(name: str, folder: str | Path) -> list[Check]:
    """Whether ``folder`` and those below it hold the collection's files with the right number of rows, and enough images."""
    c, folder = _collection(name), Path(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Correct the path.")
    checks = []
    for expected in c.files:
        files = sorted(folder.rglob(expected.file))
        wanted = expected.file + (f" with {expected.rows:,} rows" if expected.rows else "")
        counts = [len(delimited.rows(f)) if expected.rows else None for f in files]
        ok = bool(files) and (expected.rows is None or expected.rows in counts)
        found = ", ".join(f.name + (f" with {n:,} rows" if n is not None else "") for f, n in zip(files, counts, strict=True))
        checks.append(Check(wanted, found or "nothing", ok))
    if c.images and c.reader != "medmnist":
        n = len(scan(folder).images)
        checks.append(Check(f"{c.images:,} images", f"{n:,} images", n >= c.images))
    return checks


def _collection(name: str) -> Collection:
    if name.casefold() not in catalog:
        raise DataError(unknown("collection", name, catalog))
    return catalog[name.casefold()]
