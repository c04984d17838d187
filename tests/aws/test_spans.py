"""Spans of the built `bootstrap` as a collector of OTLP over HTTP gets them, read by OpenTelemetry's own messages.

AWS's emulator holds a reply back until the function asks for the next request: what came by then came in time.
"""

import contextlib
import http.server
import threading
import urllib.request

import pytest
from cloud import hosts
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PICTURE = hosts.ROOT / "models" / "digits" / "examples" / "7.png"


@contextlib.contextmanager
def collector(status=200):
    """A collector; gives its address, and the requests that came."""
    came = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            came.append((self.path, self.headers["content-type"], body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", came
        server.shutdown()


@pytest.fixture
def store(tmp_path):
    url = f"file:{tmp_path / 'store'}"
    hosts.dunlin("push", str(hosts.ROOT / "models" / "digits"), store=url)
    return url


def predict(address, flags):
    headers = {"content-type": "image/png", "traceparent": f"00-{TRACE}-{PARENT}-{flags}", "x-request-id": "order-17"}
    request = urllib.request.Request(f"http://{address}/predict/digits", PICTURE.read_bytes(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["traceresponse"].split("-")


def test_a_sampled_request_is_a_span_before_the_freeze(store, tmp_path):
    with (
        collector() as (endpoint, came),
        hosts.lambda_function(
            store, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_SERVICE_NAME="shop"
        ) as function,
    ):
        predict(function, "00")
        assert came == [], "who is not sampled is not told"
        _, _, own, _ = predict(function, "01")
        ((path, content_type, body),) = came
    assert (path, content_type) == ("/v1/traces", "application/x-protobuf")
    request = ExportTraceServiceRequest.FromString(body)
    (resource,) = request.resource_spans
    assert {said.key: said.value.string_value for said in resource.resource.attributes} == {"service.name": "shop"}
    ((scope,), (span,)) = resource.scope_spans, resource.scope_spans[0].spans
    assert scope.scope.name == "dunlin"
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.span_id.hex()) == (TRACE, PARENT, own)
    assert span.kind == Span.SPAN_KIND_SERVER
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60e9
    told = {said.key: said.value for said in span.attributes}
    assert told["http.request.method"].string_value == "POST"
    assert told["url.path"].string_value == "/predict/digits"
    assert told["http.response.status_code"].int_value == 200
    assert told["dunlin.request_id"].string_value == "order-17"
    assert told["dunlin.phase.infer_ms"].double_value > 0
    # Nothing that this program does not know of the message is in it.
    assert request.SerializeToString() == body


def test_a_collector_in_trouble_costs_no_answer(store, tmp_path):
    with collector(status=503) as (endpoint, came):
        with hosts.lambda_function(store, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as function:
            predict(function, "01")
            predict(function, "01")
        assert len(came) == 2, "each is sent once"
    with hosts.lambda_function(store, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as function:
        predict(function, "01")
        assert "spans are lost" in (tmp_path / "lambda.log").read_text()
