"""`instrument`, as applications import it from a checkout; the wheel has `tristar.metrics.instrument`."""

from tristar.instrument import instrument

__all__ = ["instrument"]
