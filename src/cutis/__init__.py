"""Cutis: from labelled skin images to a classifier that can be believed."""
