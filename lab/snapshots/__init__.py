"""Snapshots of a whole lab: taken and restored in one order, and found by what they fit."""
