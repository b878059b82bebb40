"""The command line. One module for each group of commands; `root` puts them together."""

from tristar.cli.root import main

__all__ = ["main"]
