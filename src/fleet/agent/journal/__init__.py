"""
What the hub wants, kept on the device so that a restart without a network goes on from it.

Here belong the entries, their files, and the rules for damaged ones. What is done about an entry
belongs in `deployments`; writing files so that they survive a power cut, in `system`.
"""
