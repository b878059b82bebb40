"""TriStar: a multi-LLM gateway whose monitoring can be trusted."""

__version__ = "0.1.0"
