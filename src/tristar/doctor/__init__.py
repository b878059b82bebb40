"""`tristar doctor`: what the gateway would meet here, asked before it does. Changes nothing.

One module per patient: `providers`, `stores` (Redis, database), `machine` (directory, clock, limits, port,
certificates); `finding` is what each of them says, `visit` sees all of them.
"""
