"""`/admin/audit`: the log read, exported, verified and held, over HTTP."""
