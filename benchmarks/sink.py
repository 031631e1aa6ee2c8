"""A minimal HTTP sink, so that a benchmark measures the client: reads each request, answers 200 `{}`, counts.

Run as a process of its own: `python benchmarks/sink.py [--tls CERT KEY]` prints its port. One thread a
connection; GET answers the account's region, so that revetl accepts it as a workspace.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import threading

REGION = b'{"url":"http://127.0.0.1","region":"us","environment_id":1}'


def serve(connection: socket.socket) -> None:
    """Answer requests on one kept-alive connection until the client closes it."""
    reader = connection.makefile("rb", buffering=1 << 20)
    try:
        while line := reader.readline():
            length = 0
            while (header := reader.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            left = length
            while left:
                left -= len(reader.read(min(left, 1 << 20)))
            body = REGION if line.startswith(b"GET") else b"{}"
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
    except OSError:
        pass
    finally:
        connection.close()


def main() -> None:
    """Listen on a free loopback port until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
