"""Data: from files on disk to a checked table, a split that can be proved, and decoded pixels."""
