"""Plots as SVG, each with a text that says the same."""
