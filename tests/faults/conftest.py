"""Every test here that uses the shared gateway also proves that its books balance."""

from tests.gateway.balance import balanced_books

__all__ = ["balanced_books"]
