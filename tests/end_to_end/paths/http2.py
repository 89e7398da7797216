"""Sends requests over HTTP/2 with whatever bytes they have, each on a connection of its own.

Reads, from standard input, a JSON list of header lists, each header a pair of hexadecimal strings. Prints, for each in
the same order, a line of JSON: the headers that came back (latin-1) and the body, or why there are none.
"""

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

PATIENCE = 5  # seconds
PORT = int(sys.argv[1])


def send(request):
    # h2 must neither mend nor refuse what is broken on purpose.
    config = H2Configuration(header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False)
    connection = H2Connection(config)
    connection.initiate_connection()
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, [(bytes.fromhex(name), bytes.fromhex(value)) for name, value in request], end_stream=True)
    headers, body = None, b""
    with socket.create_connection(("127.0.0.1", PORT), PATIENCE) as tcp:
        tcp.sendall(connection.data_to_send())
        while received := tcp.recv(65536):
            for event in connection.receive_data(received):
                if isinstance(event, ResponseReceived):
                    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in event.headers]
                elif isinstance(event, DataReceived):
                    body += event.data
                elif isinstance(event, StreamEnded):
                    return {"headers": headers, "body": body.decode("utf-8", "replace")}
                elif isinstance(event, (StreamReset, ConnectionTerminated)):
                    return {"failure": "reset"}
            tcp.sendall(connection.data_to_send())
    return {"failure": "closed"}


def outcome(request):
    try:
        return send(request)
    except ConnectionError:
        return {"failure": "closed"}
    except Exception as error:
        return {"failure": f"client: {type(error).__name__}: {error}"}


with ThreadPoolExecutor(8) as pool:
    for line in pool.map(outcome, json.load(sys.stdin)):
        print(json.dumps(line))
