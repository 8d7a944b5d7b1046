"""Readers: every layout is recognised, files are found, nothing outside is read, what is passed over is said."""

import os
import time
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutis.data import formats, readers
from cutis.data.readers import read, summary
from cutis.errors import DataError
from cutis.registry import load_plugins

real = pytest.mark.skipif("CUTIS_DATA" not in os.environ, reason="CUTIS_DATA is not set")


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def csv(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


# Class-per-folder trees


def test_a_tree_without_parts(tmp_path):
    t = read(images(tmp_path, "mel/1.jpg", "mel/deep/2.PNG", "nv/1.jpg", "readme.jpg"))
    assert dict(zip(t["image"], t["label"], strict=True)) == {"mel/1.jpg": "mel", "mel/deep/2.PNG": "mel", "nv/1.jpg": "nv"}
    assert t["split"].isna().all()
    assert t.attrs["reader"] == "folder"
    notes = " ".join(t.attrs["notes"])
    assert "1 images are in no class folder" in notes


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "valid", "Testing"), ("TRAIN", "validation", "holdout"), ("tr", "dev", "tst")],
)
@pytest.mark.parametrize("order", ["part first", "class first", "inside one folder"])
def test_a_tree_with_parts_under_their_usual_names(tmp_path, train, val, test, order):
    for part in (train, val, test):
        for label in ("acne", "eczema"):
            path = f"{part}/{label}" if order == "part first" else f"{label}/{part}" if order == "class first" else f"set/{part}/{label}"
            images(tmp_path, f"{path}/{part}.jpg")
    t = read(tmp_path)
    assert set(t["label"]) == {"acne", "eczema"}
    expected = {train: "train", val: "val", test: "test"}
    assert t["split"].tolist() == [expected[Path(i).stem] for i in t["image"]]


def test_fault_d3_the_same_name_in_two_folders_is_reported_and_the_path_is_the_key(tmp_path):
    t = read(images(tmp_path, "mel/1.jpg", "nv/1.jpg"))
    assert t["image"].is_unique
    assert any("1 file names occur in several folders, such as 1.jpg" in note for note in t.attrs["notes"])


# Delimited tables


def test_a_csv_by_its_usual_names(tmp_path):
    images(tmp_path, "img/a.jpg", "img/b.png")
    t = read(
        csv(tmp_path, "File_Name,Diagnosis,patient_id,gender,age,set,dx_type\na,mel,007,f,40,training,x\nimg/b.png,nv,008,m,,test,y\n")
    )
    assert t["image"].tolist() == ["img/a.jpg", "img/b.png"]
    assert t[["label", "patient", "sex", "split", "dx_type"]].to_numpy().tolist() == [
        ["mel", "007", "female", "train", "x"],
        ["nv", "008", "male", "test", "y"],
    ]
    assert t["group"].tolist() == ["007", "008"]


def test_a_set_column_of_another_meaning_is_metadata(tmp_path):
    images(tmp_path, "a.jpg", "b.jpg")
    t = read(csv(tmp_path, "image,label,set\na,m,monday\nb,n,tuesday\n"))
    assert t["split"].isna().all()
    assert t["set"].tolist() == ["monday", "tuesday"]


SEPARATORS = (",", ";", "\t", "|")
odd_names = st.text(st.characters(blacklist_characters="/\\\0", blacklist_categories=("Cs", "Cc")) | st.just("\n"), min_size=1, max_size=8)


distinct = st.lists(odd_names, min_size=1, max_size=4, unique_by=lambda n: unicodedata.normalize("NFC", n).casefold())


@given(distinct, st.sampled_from(SEPARATORS), st.booleans(), st.sampled_from(["NFC", "NFD"]))
@settings(max_examples=40)
def test_fault_d7_odd_names_make_the_round_trip(tmp_path_factory, names, separator, mark, form):
    """Non-ASCII, composed or decomposed, newlines, quotes and separators in names; a byte order mark; any separator."""
    folder = tmp_path_factory.mktemp("odd")
    files = [f"x{n}.jpg" for n in names]
    images(folder, *files)
    rows = pd.DataFrame({"image": [unicodedata.normalize(form, f) for f in files], "label": "m"})
    (folder / "t.csv").write_text(rows.to_csv(index=False, sep=separator), "utf-8-sig" if mark else "utf-8")
    t = read(folder)
    assert t["image"].tolist() == files
    assert all((folder / image).is_file() for image in t["image"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1254"])
def test_fault_d7_encodings(tmp_path, encoding):
    images(tmp_path, "ışık.jpg", "göğüs.jpg")
    t = read(csv(tmp_path, "image;label\nışık.jpg;Şüpheli\ngöğüs.jpg;İyi\n", encoding=encoding))
    assert t["image"].tolist() == ["ışık.jpg", "göğüs.jpg"]
    assert t["label"].tolist() == ["Şüpheli", "İyi"]
    assert any("cp1254" in note for note in t.attrs["notes"]) == (encoding == "cp1254")


def test_numbers_stay_text_where_they_name_things(tmp_path):
    images(tmp_path, "001.jpg", "002.jpg")
    t = read(csv(tmp_path, "image,label,lesion\n001,0,007\n002,1,NA\n"))
    assert t["label"].tolist() == ["0", "1"]
    assert t["lesion"].tolist() == ["007", "NA"]


def test_a_line_that_does_not_fit_is_named(tmp_path):
    images(tmp_path, "a.jpg")
    with pytest.raises(DataError, match="line 3"):
        read(csv(tmp_path, "image,label\na,m\nb,n,o\n"))


def test_missing_files_are_listed_and_too_many_are_refused(tmp_path):
    images(tmp_path, "a.jpg", "b.jpg")
    t = read(csv(tmp_path, "image,label\na,m\nb,n\nc,m\n"))
    assert len(t) == 2
    assert any("1 of 3 rows are left out" in note and note.endswith(": c.") for note in t.attrs["notes"])
    with pytest.raises(DataError, match=r"3 of 4 images have no file, such as c, d, e\. Looked in .* which hold 2 images"):
        read(csv(tmp_path, "image,label\na,m\nc,n\nd,n\ne,m\n"))


def test_a_missing_image_is_never_replaced_by_one_of_the_same_name_elsewhere(tmp_path):
    images(tmp_path, "benign/1.jpg", "benign/2.jpg", "malignant/2.jpg", "malignant/3.jpg")
    t = read(csv(tmp_path, "image,label\nbenign/1.jpg,b\nmalignant/1.jpg,m\nbenign/2.jpg,b\nmalignant/2,m\n"))
    assert t["image"].tolist() == ["benign/1.jpg", "benign/2.jpg", "malignant/2.jpg"]


def test_fault_d3_a_bare_name_that_fits_two_files_is_refused(tmp_path):
    images(tmp_path, "x/1.jpg", "y/1.jpg")
    with pytest.raises(DataError, match=r"1 \(x/1\.jpg, y/1\.jpg\)"):
        read(csv(tmp_path, "image,label\n1,m\n"))


def test_the_ending_and_the_case_decide_between_several(tmp_path):
    images(tmp_path, "x/1.jpg", "x/1.png", "NEL/Nel2.jpg")
    t = read(csv(tmp_path, "image,label\nx/1.png,m\nNEL/NEL2.JPG,n\n"))
    assert t["image"].tolist() == ["x/1.png", "NEL/Nel2.jpg"]


# Faults of the file system


@pytest.mark.parametrize(
    "name", ["../out/a.jpg", "{outside}/a.jpg", "x/../../out/a.jpg", "link.jpg", "link", "folder/a.jpg", "..\\out\\a.jpg"]
)
def test_fault_d1_an_image_outside_is_refused_unless_its_folder_is_allowed(tmp_path, name):
    outside = images(tmp_path / "out", "a.jpg")
    inside = images(tmp_path / "in", "b.jpg")
    (inside / "link.jpg").symlink_to(outside / "a.jpg")
    (inside / "folder").symlink_to(outside)
    table = csv(inside, f"image,label\nb.jpg,n\n{name.format(outside=outside)},m\n")
    with pytest.raises(DataError, match=r"1 images lie outside .*--allow-outside"):
        read(table)
    for allowed in (outside, True):
        t = read(table, allow_outside=allowed)
        assert len(t) == 2
        assert all((Path(t.attrs["root"]) / image).is_file() for image in t["image"])
        assert not t["image"].str.contains(r"\.\.").any()
    with pytest.raises(DataError, match="no folder"):
        read(table, allow_outside=tmp_path / "absent")


def test_an_allowed_folder_is_searched_too(tmp_path):
    images(tmp_path / "store", "deep/a.jpg", "deep/b.jpg")
    (tmp_path / "tables").mkdir()
    t = read(csv(tmp_path / "tables", "image,label\na,m\nb,n\n"), allow_outside=tmp_path / "store")
    assert t["image"].tolist() == ["a.jpg", "b.jpg"]
    assert t.attrs["root"] == str(tmp_path / "store" / "deep")


def test_fault_d8_loops_fifos_dead_links_and_closed_folders_end_and_are_listed(tmp_path):
    images(tmp_path, "m/1.jpg", "n/2.jpg", "closed/3.jpg", "n/.hidden.jpg")
    (tmp_path / "m" / "loop").symlink_to(tmp_path)
    (tmp_path / "m" / "self.jpg").symlink_to(tmp_path / "m" / "self.jpg")
    (tmp_path / "m" / "dead.jpg").symlink_to(tmp_path / "absent.jpg")
    os.mkfifo(tmp_path / "m" / "pipe.jpg")
    (tmp_path / "closed").chmod(0)
    try:
        t = read(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o755)
    may_read_all = os.geteuid() == 0
    assert t["image"].tolist() == (["closed/3.jpg"] if may_read_all else []) + ["m/1.jpg", "n/2.jpg"]
    notes = " ".join(t.attrs["notes"])
    assert all(name in notes for name in ("m/self.jpg", "m/dead.jpg", "m/pipe.jpg"))
    assert may_read_all or "closed/ cannot be opened" in notes


def test_fault_d8_a_name_that_is_no_text_is_listed(tmp_path):
    images(tmp_path, "m/1.jpg", "n/2.jpg")
    (tmp_path / os.fsdecode(b"m/\xff.jpg")).write_bytes(b"")
    t = read(tmp_path)
    assert t["image"].tolist() == ["m/1.jpg", "n/2.jpg"]
    assert any("\\udcff" in note for note in t.attrs["notes"])


# Known collections


def test_huggingface_metadata_at_the_top_and_in_each_part(tmp_path):
    images(tmp_path, "train/a.jpg", "test/b.jpg")
    csv(tmp_path, "file_name,label\ntrain/a.jpg,m\ntest/b.jpg,n\n", "metadata.csv")
    one = read(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    csv(tmp_path / "train", "file_name,label\na.jpg,m\n", "metadata.csv")
    csv(tmp_path / "test", "file_name,label\nb.jpg,n\n", "metadata.csv")
    two = read(tmp_path)
    for t in (one, two):
        assert t.attrs["reader"] == "huggingface"
        rows = t.set_index("image")[["label", "split"]]
        assert rows.loc["train/a.jpg"].tolist() == ["m", "train"]
        assert rows.loc["test/b.jpg"].tolist() == ["n", "test"]


def test_huggingface_metadata_without_labels_takes_the_folders(tmp_path):
    images(tmp_path, "train/mel/a.jpg", "train/nv/b.jpg")
    t = read(csv(tmp_path, "file_name,lesion_id\ntrain/mel/a.jpg,1\ntrain/nv/b.jpg,2\n", "metadata.csv"))
    assert t[["label", "split", "lesion"]].to_numpy().tolist() == [["mel", "train", "1"], ["nv", "train", "2"]]


def test_isic_one_hot_takes_metadata_from_the_file_beside_it_that_knows_most(tmp_path):
    images(tmp_path, "Input/I1.jpg", "Input/I2.jpg", "Input/I3.jpg")
    truth = csv(tmp_path, "image,MEL,NV,UNK,score_weight\nI1,1.0,0.0,0.0,1\nI2,0.0,0.0,1.0,1\nI3,0.0,0.0,0.0,1\n", "X_GroundTruth.csv")
    bare = read(truth)
    assert bare["lesion"].isna().all()
    assert any("lesions are unknown" in note for note in bare.attrs["notes"])
    csv(tmp_path, "image,age_approx,anatom_site_general,lesion_id,sex\nI1,50,head,L1,male\n", "X_Metadata.csv")
    csv(tmp_path, "isic_id,diagnosis,lesion_id,sex,attribution\nI1,m,IL1,male,V\nI2,m,IL1,female,V\nI3,m,IL2,male,V\n", "isic_metadata.csv")
    t = read(truth)
    assert t["label"].tolist()[:2] == ["MEL", "UNK"]
    assert pd.isna(t["label"][2])
    assert t["lesion"].tolist() == ["IL1", "IL1", "IL2"]
    assert t["sex"].tolist() == ["male", "female", "male"]
    assert t["source"].tolist() == ["V"] * 3
    assert [Path(f).name for f in t.attrs["files"]] == ["X_GroundTruth.csv", "isic_metadata.csv"]


def test_a_one_hot_row_with_two_classes_is_refused(tmp_path):
    images(tmp_path, "I1.jpg")
    with pytest.raises(DataError, match="one-hot for 1 images, such as I1"):
        read(csv(tmp_path, "image,MEL,NV\nI1,1.0,1.0\n"))


def test_ham10000_pad_isic2020_and_isic2024_tables(tmp_path):
    images(tmp_path, "I1.jpg", "I2.jpg")
    ham = read(csv(tmp_path, "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\nH1,I1,nv,histo,80.0,male,scalp,vidir\n", "h.csv"))
    assert ham.iloc[0][["label", "lesion", "site", "source", "dx_type"]].tolist() == ["nv", "H1", "scalp", "vidir", "histo"]
    text = "patient_id,lesion_id,gender,fitspatrick,region,diagnostic,img_id\nP1,7,FEMALE,3.0,NECK,BCC,I1.png\nP2,7,,,,NEV,I2.png\n"
    pad = read(csv(tmp_path, text, "p.csv"))
    assert pad.iloc[0][["image", "lesion", "patient", "sex", "site", "skin_tone"]].tolist() == [
        "I1.jpg",
        "P1_7",
        "P1",
        "female",
        "NECK",
        "3",
    ]
    assert pad["group"].tolist() == ["P1", "P2"]
    y20 = read(
        csv(tmp_path, "image_name,patient_id,sex,age_approx,diagnosis,benign_malignant,target\nI1,P,male,45,nevus,benign,0\n", "y20.csv")
    )
    assert y20.iloc[0][["label", "patient"]].tolist() == ["benign", "P"]
    y24 = read(csv(tmp_path, "isic_id,target,patient_id,tbp_lv_location,attribution\nI1,0,P,x,V\nI2,1,Q,x,V\n", "y24.csv"))
    assert y24["label"].tolist() == ["benign", "malignant"]
    assert [t.attrs["reader"] for t in (ham, pad, y20, y24)] == ["ham10000", "pad-ufes-20", "isic-2020", "isic-2024"]


@pytest.mark.parametrize("size", [28, 64, 128, 224])
@pytest.mark.parametrize("grey", [False, True])
def test_medmnist(tmp_path, size, grey):
    shape = (size, size) if grey else (size, size, 3)
    parts = {"train": [5, 0], "val": [6], "test": [4]}
    arrays = {f"{p}_images": np.zeros((len(k), *shape), np.uint8) for p, k in parts.items()}
    arrays |= {f"{p}_labels": np.array(k, np.uint8)[:, None] for p, k in parts.items()}
    name = "dermamnist.npz" if size == 28 else f"dermamnist_{size}.npz"
    np.savez_compressed(tmp_path / name, **arrays)
    t = read(tmp_path)
    assert t["image"].tolist() == [
        f"{name}::train_images::0",
        f"{name}::train_images::1",
        f"{name}::val_images::0",
        f"{name}::test_images::0",
    ]
    assert t["label"].tolist() == ["nv", "akiec", "vasc", "mel"]
    assert t["split"].tolist() == ["train", "train", "val", "test"]
    assert t.attrs["root"] == str(tmp_path)


def test_medmnist_of_another_name_keeps_numbers_and_many_labels_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", test_images=np.zeros((2, 8, 8), np.uint8), test_labels=np.array([[3], [1]]))
    assert read(tmp_path / "x.npz")["label"].tolist() == ["3", "1"]
    np.savez(tmp_path / "x.npz", test_images=np.zeros((2, 8, 8), np.uint8), test_labels=np.zeros((2, 14), np.uint8))
    with pytest.raises(DataError, match=r"\(2, 14\)"):
        read(tmp_path / "x.npz")


def test_a_pickled_array_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", test_images=np.zeros((1, 8, 8), np.uint8), test_labels=np.array([["a"]], object))
    with pytest.raises(DataError, match="never pickled"):
        read(tmp_path / "x.npz")


# Choosing, merging, mapping


def test_a_folder_with_several_tables_asks_which(tmp_path):
    images(tmp_path, "a.jpg")
    csv(tmp_path, "image,label\na,m\n", "one.csv")
    csv(tmp_path, "image,MEL,NV\na,1,0\n", "two.csv")
    csv(tmp_path, "image,sex\na,male\n", "no_labels.csv")
    with pytest.raises(DataError, match=r"holds 2 tables: one\.csv \(csv\); two\.csv \(isic-onehot\)\. Name the one"):
        read(tmp_path)
    assert read(tmp_path / "two.csv")["label"].tolist() == ["MEL"]


def test_nothing_recognised_says_what_would_be(tmp_path):
    with pytest.raises(DataError, match="holds nothing that a reader knows"):
        read(images(tmp_path, "one/a.jpg"))
    with pytest.raises(DataError, match="its columns are who, what"):
        read(csv(tmp_path, "who,what\n1,2\n"))
    with pytest.raises(DataError, match="no file or folder"):
        read(tmp_path / "absent")
    with pytest.raises(DataError, match="No data are named"):
        read()


def test_sources_with_parts_are_merged_and_labels_take_one_spelling(tmp_path):
    images(tmp_path, "x/a.jpg", "x/b.jpg", "y/c.jpg", "y/d.jpg")
    one = csv(tmp_path / "x", "image,label\na,mel\nb,nv\n")
    two = csv(tmp_path / "y", "image,MEL,NV\nc,1,0\nd,0,1\n")
    t = read(f"train={one}", f"test={two}")
    assert t["image"].tolist() == ["x/a.jpg", "x/b.jpg", "y/c.jpg", "y/d.jpg"]
    assert t["label"].tolist() == ["mel", "nv", "mel", "nv"]
    assert t["split"].tolist() == ["train", "train", "test", "test"]
    assert t.attrs["reader"] == "csv+isic-onehot"
    assert any("MEL as mel" in note for note in t.attrs["notes"])
    assert read(one, two, map="mel=malignant,NV=benign")["label"].tolist() == ["malignant", "benign"] * 2
    assert read(one, map="ham10000-binary")["label"].tolist() == ["malignant", "benign"]
    with pytest.raises(DataError, match="Unknown label 'scc'"):
        read(one, map=["scc=akiec"])


def test_the_summary_says_what_was_recognised(tmp_path):
    images(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    lines = summary(read(csv(tmp_path, "image,label,lesion,split\na,m,1,train\nb,n,1,train\nc,,2,test\nd,m,3,test\n")))
    assert lines[0] == "Read t.csv as csv: 3 images, 2 lesions, 2 groups."
    assert lines[1] == "2 classes: m 1, n 1."
    assert "1 images have no label." in lines
    assert "The data are split: train 2, test 1." in lines
    assert any("1 of 4 rows are left out" in line for line in lines)


def test_a_plugin_reader_is_one_file_and_comes_before_the_general_ones(tmp_path, monkeypatch):
    plugin = tmp_path / "clinic.py"
    plugin.write_text(
        "from cutis.data.readers import readers\n"
        "from cutis.data.formats import renamed\n"
        "@readers.register('clinic-of-this-test')\n"
        "def clinic(path):\n"
        "    return renamed(path, ('image', 'label', 'befund'), image='image', label='befund')\n"
    )
    monkeypatch.setenv("CUTIS_PLUGINS", str(plugin))
    load_plugins()
    try:
        images(tmp_path, "a.jpg")
        t = read(csv(tmp_path, "image,label,befund\na,1,nevus\n").parent)
        assert t.attrs["reader"] == "clinic-of-this-test"
        assert t.loc[0, ["label", "label_given"]].tolist() == ["nevus", 1]
    finally:
        formats.readers._items.pop("clinic-of-this-test")


def test_every_reader_is_short_and_documented():
    import inspect

    for name, reader in readers.readers.items():
        assert len(inspect.getsource(reader).splitlines()) <= 40, name
        assert reader.__doc__, name


# Real data


@pytest.mark.slow
@real
def test_the_real_tables_have_the_counts_of_their_documentation():
    folder = Path(os.environ["CUTIS_DATA"])
    start = time.perf_counter()
    ham = read(folder / "isic2018" / "HAM10000_metadata.csv")
    assert time.perf_counter() - start < 2
    expected = {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
    assert ham["label"].value_counts().to_dict() == expected
    assert ham["group"].nunique() == 7470
    assert (ham["group"].value_counts() > 1).sum() == 1956
    pad = read(folder / "pad_ufes20")
    assert pad["label"].value_counts().to_dict() == {"BCC": 281, "ACK": 204, "NEV": 194, "SEK": 145, "MEL": 45, "SCC": 41}
    assert (pad["patient"].nunique(), pad["group"].nunique(), int(pad["skin_tone"].notna().sum())) == (694, 694, 579)
    both = read(f"train={folder / 'isic2018' / 'HAM10000_metadata.csv'}", f"test={folder / 'pad_ufes20'}")
    assert all((Path(both.attrs["root"]) / image).is_file() for image in both["image"].iloc[::500])
    with pytest.raises(DataError, match="6 tables"):
        read(folder / "isic2018")


@pytest.mark.slow
@real
def test_the_real_challenge_files():
    folder = Path(os.environ["CUTIS_DATA"]) / "isic2018"
    part = read(folder / "ISIC_2019_ham_part_GroundTruth.csv")
    assert part["label"].value_counts().to_dict() == {
        "NV": 6705, "MEL": 1113, "BKL": 1099, "BCC": 514, "SCC": 197, "VASC": 142, "AK": 130, "DF": 115,
    }  # fmt: skip
    assert part["lesion"].nunique() == 7470
    sources = ["train=HAM10000_metadata.csv", "val=ISIC2018_Task3_Validation_GroundTruth.csv", "test=ISIC2018_Task3_Test_GroundTruth.csv"]
    t = read(*(s.replace("=", f"={folder}/") for s in sources))
    assert t["split"].value_counts().to_dict() == {"train": 10015, "val": 193, "test": 1512}
    assert t["label"].nunique() == 7
    assert (
        read(folder / "isic_metadata.csv", map="ham-from-isic-archive")["label"].value_counts().to_dict()
        == t["label"].value_counts().to_dict()
    )
