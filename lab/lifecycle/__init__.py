"""
A lab as a whole: what it consists of, how it comes up, how far it is, how it goes down.

Here belong topologies, the assembly of parts into stages, and the status that other programs read.
What a part is made of belongs in `services`, `images` and `devices`; what is said to a person, in
`console`.
"""
