"""Every surface with every dialect: official SDKs as clients, recorded answers as upstreams.

`questions` and `answers` are the tables, from which `matrix` writes docs/surfaces-matrix.md too;
`clients` are the SDKs, `player` the upstreams.
"""
