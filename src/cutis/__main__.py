"""``python -m cutis``: the command line."""

from cutis.cli import main

main()
