"""Bundles at work: a predictor, and what stands over it: an API and a web page."""
