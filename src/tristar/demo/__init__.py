"""`tristar demo`: simulated providers and simulated clients around a real gateway.

`weather` says when a provider is ill, `provider` is one as a server, `traffic` the clients,
`house` the gateway's folder and process, `station` a Prometheus beside it, `show` all of it together.
"""
