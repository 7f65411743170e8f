"""
What no lab needs any more: found, and taken away beside labs that come up meanwhile.
"""
