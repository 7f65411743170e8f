"""
Builds the programs that the lab runs, from pinned sources, and keeps them.

`parts` says what there is (decides), `builders` makes it, `store` keeps it,
`provisioning` brings the three together. `./dev` calls ``python -m lab.toolchain
ensure`` and puts the directory that it prints first on the PATH.
"""
