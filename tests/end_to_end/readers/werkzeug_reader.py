"""What Werkzeug reads of a request: its query, and its credential in hexadecimal digits. Argument: a port."""

import json
import logging
import sys

from werkzeug import Request, Response
from werkzeug.serving import run_simple


@Request.application
def read(request):
    credential = request.authorization
    read = {"query": request.args.to_dict(flat=False)}
    if credential is not None and credential.type == "basic":
        read |= {"user": in_hex(credential.username), "password": in_hex(credential.password)}
    elif credential is not None and credential.type == "bearer":
        read |= {"token": in_hex(credential.token)}
    return Response(json.dumps(read))


def in_hex(text):
    return None if text is None else text.encode().hex()


logging.getLogger("werkzeug").setLevel(logging.ERROR)
run_simple("127.0.0.1", int(sys.argv[1]), read)
