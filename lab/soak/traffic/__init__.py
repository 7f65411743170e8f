"""
What flows while a session is broken: the buses under test, who puts, and who watches.

It goes by the port of the bus alone, as agents and the operator do, and knows nothing of faults.
"""
