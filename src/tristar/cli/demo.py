"""`tristar demo`: simulated providers and traffic, to see everything move without an API key."""

from typing import Annotated

import typer

from tristar.cli.terminal import WRONG, fail
from tristar.errors import StartRefused


def demo(
    *,
    port: Annotated[
        int, typer.Option("--port", metavar="P", min=0, max=65_535, help="Port; 0 takes a free one.")
    ] = 9100,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Also start a Prometheus, if one is installed.")
    ] = False,
) -> None:
    """Run a gateway with simulated providers and traffic until Ctrl-C; needs no key, keeps nothing."""
    from tristar.demo.show import perform  # noqa: PLC0415 - only this command needs a client and servers

    try:
        perform(port, with_prometheus=prometheus, tell=typer.echo)
    except StartRefused as refused:
        fail(str(refused), WRONG)
