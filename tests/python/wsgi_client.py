# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a WSGI application without a server."""

import io


def answer_of(app, method, path, body=b"", **headers):
    """Status and body, without a server."""
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(body)}
    environ |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "text/plain", **headers}
    started = []
    parts = app(environ, lambda status, headers: started.append(int(status.split()[0])))
    return started[0], b"".join(parts)
