"""Builds and keeps the programs that the lab runs."""
