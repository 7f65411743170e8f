"""
The control loop of each deployment, and the dispatcher that hands intents to the loops.

Here belongs what any runtime would need: when to look, what failed and is held back, when a
deployment has ended. What is done to containers is planned and executed in `runtimes.podman`.
"""
