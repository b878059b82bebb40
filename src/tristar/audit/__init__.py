"""The audit log: durable before the answer, signed, provable."""
