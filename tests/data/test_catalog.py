"""The catalogue of public collections."""

import pytest

from cutis.data.catalog import catalog, check, show
from cutis.data.readers import readers
from cutis.errors import DataError


@pytest.mark.parametrize("name", list(catalog))
def test_every_entry_is_complete_and_consistent(name):
    entry = catalog[name]
    assert entry.licence
    assert entry.citation
    assert entry.where.startswith("https://")
    assert entry.caveats
    assert not entry.reader or entry.reader in readers
    if entry.classes and all(entry.classes.values()):
        assert sum(entry.classes.values()) == entry.images
    assert any(entry.licence in line for line in show(name))


def test_checking_a_folder_counts_rows_and_images(tmp_path):
    (tmp_path / "images").mkdir()
    rows = "".join(f"{i},0\n" for i in range(656))
    (tmp_path / "ddi_metadata.csv").write_text("DDI_file,malignant\n" + rows)
    for i in range(655):
        (tmp_path / "images" / f"{i}.png").touch()
    table, images = check("DDI", tmp_path)
    assert table.ok
    assert not images.ok
    assert "655" in images.found
    (tmp_path / "images" / "655.png").touch()
    assert all(c.ok for c in check("ddi", tmp_path))


def test_what_is_missing_is_said(tmp_path):
    assert check("ham10000", tmp_path)[0].found == "nothing"
    with pytest.raises(DataError, match="Did you mean 'ham10000'"):
        check("ham1000", tmp_path)
    with pytest.raises(DataError, match="no folder"):
        check("ham10000", tmp_path / "absent")
