"""`app.main:app` for any ASGI server: `uvicorn app.main:app --port 9100`.

`tristar serve` is the better way in: it drains, replaces workers and checks what it is bound to.
"""

from tristar.asgi import Application

app = Application()
