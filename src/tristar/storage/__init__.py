"""The database under keys and memory: SQLite beside the gateway, or PostgreSQL for many replicas."""
