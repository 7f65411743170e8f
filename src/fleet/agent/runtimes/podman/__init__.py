"""
Services as podman containers: planning, execution, images, health checks, and what is reported.

Here belongs all that is particular to containers. It reaches podman through the port
(`fleet.agent.runtimes.port`); only `api` speaks podman's protocol.
"""
