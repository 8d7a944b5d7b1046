"""Figures of a model's answers, with intervals: metrics, bootstrap, curves for drawing, and the summary that metrics.json holds."""
