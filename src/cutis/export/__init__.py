"""Bundles: a model handed over as one folder or zip, whose every part is checked before it is used."""
