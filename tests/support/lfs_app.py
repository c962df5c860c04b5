"""Run by a Python of its own: giftless, a server of Git LFS, with repositories beside it. Prints its address.

Arguments: a folder that is served as it is, and one for objects. A line on standard input of what a login must be
(`USER:PASSWORD`, or nothing) changes who may read.
"""

import base64
import sys
import threading
from typing import Any

from giftless.app import init_app
from werkzeug.middleware.shared_data import SharedDataMiddleware
from werkzeug.serving import make_server

served, objects = sys.argv[1:]
login = ""


def asking(app: Any) -> Any:
    def answer(environ: dict[str, Any], start: Any) -> Any:
        print(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_AUTHORIZATION", "-"), flush=True)
        shown = environ.get("HTTP_AUTHORIZATION", "")
        good = "Basic " + base64.b64encode(login.encode()).decode()
        # what an action of a batch leads to has a token of its own
        if login and shown != good and "/objects/storage/" not in environ["PATH_INFO"]:
            start("401 Unauthorized", [("WWW-Authenticate", "Basic realm=lfs"), ("Content-Length", "0")])
            return [b""]
        return app(environ, start)

    return answer


app = init_app(
    additional_config={
        "AUTH_PROVIDERS": ["giftless.auth.allow_anon:read_write"],
        "LEGACY_ENDPOINTS": False,
        "TRANSFER_ADAPTERS": {"basic": {"options": {"storage_options": {"path": objects}}}},
    }
)
app.wsgi_app = asking(SharedDataMiddleware(app.wsgi_app, {"/": served}))
server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
for line in sys.stdin:
    login = line.strip()
    print("changed", flush=True)
