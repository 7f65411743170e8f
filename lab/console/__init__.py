"""
What a person at a terminal sees and types: options, progress, tables, logs, a shell on a device.

Here belongs the form of what is said. The tasks themselves are in `lab.tasks`.
"""
