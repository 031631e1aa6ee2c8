"""A Customer.io workspace on your machine, for demos, tests and rehearsals (`docs/sandbox.md`).

    validate.py  what the API refuses: pure
    store.py     what a workspace holds and how operations change it, over SQLite
    faults.py    what can go wrong on request
    server.py    HTTP: Track v1 and v2, the App API's reads, faults
    page.py      the pages to look at
    tls.py       a certificate made on the spot

It imports nothing from the rest of revetl, so that client and server cannot share a mistake; it is judged by
Customer.io's published OpenAPI documents and by its official clients.
"""

from revetl.sandbox.faults import Fault
from revetl.sandbox.server import Limits, Sandbox
from revetl.sandbox.store import Rules

__all__ = ["Fault", "Limits", "Rules", "Sandbox"]
