"""Runs that combine runs: how answers are put together, who the members are, and what is kept of it."""
