"""`python -m tristar.worker`: one worker of a supervisor, never started by hand."""

import sys

from tristar.serving import serve_worker

if __name__ == "__main__":
    sys.exit(serve_worker())
