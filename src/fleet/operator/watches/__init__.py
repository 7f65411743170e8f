"""
From outside into the store: watches of the four buckets and of the custom resources.

Here belongs what lists, replays, watches and notices silence, and the barrier that waits until
all of it was listed once. Nothing here writes to a bucket or to the API server.
"""
