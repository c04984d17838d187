#!/usr/bin/env python3
"""HTTP in front of a Lambda emulator, as API Gateway's HTTP API stands in front of Lambda.

    bridge.py LISTEN_PORT INVOKE_URL

Each request becomes an event of payload format 2.0, is posted to INVOKE_URL, and the function's reply becomes
the HTTP reply. One request at a time reaches the function: an environment of Lambda never sees two.
"""

import base64
import json
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What API Gateway passes on as text; everything else is base64.
TEXT = ("text/", "application/json", "application/javascript", "application/xml")
ONE_AT_A_TIME = threading.Lock()


def event(method, target, headers, body, peer):
    """The API Gateway event (payload format 2.0) of one HTTP request."""
    url = urlsplit(target)
    now = time.time()
    binary = not headers.get("content-type", "").startswith(TEXT)
    made = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": url.path,
        "rawQueryString": url.query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api-id",
            "domainName": "api-id.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "api-id",
            "http": {
                "method": method,
                "path": url.path,
                "protocol": "HTTP/1.1",
                "sourceIp": peer,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": bool(body) and binary,
    }
    if body:
        made["body"] = base64.b64encode(body).decode() if binary else body.decode("utf-8", "replace")
    return made


def invoke(url, made):
    """Posts the event; gives status, headers and body of the function's reply. A failed function is a 502."""
    request = urllib.request.Request(url, json.dumps(made).encode(), {"content-type": "application/json"})
    try:
        with ONE_AT_A_TIME, urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
        reply = json.loads(text)
        body = reply.get("body") or ""
        headers = dict(reply.get("headers") or {})
        for name, values in (reply.get("multiValueHeaders") or {}).items():
            headers.setdefault(name, ", ".join(values))
        body = base64.b64decode(body) if reply.get("isBase64Encoded") else body.encode()
        return reply["statusCode"], headers, body
    except (urllib.error.URLError, ValueError, KeyError, AttributeError) as problem:
        why = f"the function gave no HTTP reply: {problem}"
        return 502, {"content-type": "application/json"}, json.dumps({"message": why}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {}
        for name, value in self.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        made = event(self.command, self.path, headers, body, self.client_address[0])
        status, headers, body = invoke(self.server.invoke_url, made)
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_):
        pass


def serve(port, invoke_url):
    """A server on 127.0.0.1, not yet running; its port is `server_address[1]`."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.invoke_url = invoke_url
    return server


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2]).serve_forever()
