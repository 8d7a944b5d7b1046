"""Published figures held against arithmetic: what in a table cannot be so, what hardly can, and what it does not show."""
