"""Explaining: what in an image a model's answer rests on."""
