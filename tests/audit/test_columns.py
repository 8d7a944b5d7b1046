"""Which columns no model is given."""

from cutis.audit import columns


def test_withheld_names_what_is_filled_in_afterwards_and_what_was_found() -> None:
    assert {"dx_type", "biopsed"} <= columns.withheld()
    assert columns.withheld({"giveaways": ["clinic"]}) == columns.withheld() | {"clinic"}
