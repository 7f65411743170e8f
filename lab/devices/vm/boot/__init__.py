"""
The boot of a machine, from power on until its agent is set up: stages, budgets, logs, evidence.

Nothing here makes or changes a machine.
"""
