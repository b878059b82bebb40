"""The way from one schema to the next, forwards and back; run by Alembic."""
