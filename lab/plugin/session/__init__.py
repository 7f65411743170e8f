"""
The lab of one pytest run: shared by the processes of the run and by other runs, leased by device.

Here belongs what outlives one test: who brings the lab up, who holds which device, what becomes of
the lab when the run ends. What a test asks for is in the room above.
"""
