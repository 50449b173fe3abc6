"""Ablations: conditions × seeds × models as one plan that can be gone on with after any kill.

    python -m benchmark.ablation plan.toml

`plan` reads the TOML, `store` keeps what a directory was begun with, `carry_out` runs what is left of it,
`estimate` and `progress` say how long that will take.
"""
