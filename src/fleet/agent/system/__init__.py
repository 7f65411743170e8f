"""
What the agent needs of the operating system: files that survive a power cut, directories.

Here belongs what would serve any daemon. Nothing in it knows a deployment, a runtime or the hub.
"""
