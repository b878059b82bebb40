"""Who is calling, and what that key may do."""
