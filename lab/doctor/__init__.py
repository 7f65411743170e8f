"""
Whether this host can carry a lab: each capability is tried, and what fails comes with its remedy.
"""
