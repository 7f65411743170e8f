"""Figures: what Fleet costs and how long it takes, beside a baseline of the same run."""
