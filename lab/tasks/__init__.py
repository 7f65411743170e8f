"""
The invoke tasks, a module for each collection. They parse, call and show.

What they do belongs in the other rooms.
"""
