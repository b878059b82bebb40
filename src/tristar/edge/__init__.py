"""HTTP in and out: the only place, with `app`, that knows a web framework."""
