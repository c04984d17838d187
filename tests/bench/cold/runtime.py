"""Lambda's Runtime API for one invocation of one fresh process, and what that process took."""

import base64
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# From the start of the process; more than any model takes on a busy machine.
SECONDS = 120
FUNCTION = {
    "AWS_LAMBDA_FUNCTION_NAME": "predict",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    # Half of it is for models. Nothing here limits memory or processor by it.
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "8192",
    "AWS_LAMBDA_LOG_GROUP_NAME": "predict",
    "AWS_LAMBDA_LOG_STREAM_NAME": "1",
}


@dataclasses.dataclass
class Start:
    """One cold start. Times in milliseconds since the process was started."""

    polled: float
    """When it asked for work: the end of its init phase."""
    answered: float
    processor: float
    """Processor time of the process, in milliseconds."""
    peak: float
    """Its largest resident size, in MiB."""
    reply: dict
    """The HTTP reply, as the event source gets it."""
    log: str
    """What it printed."""

    def body(self):
        body = self.reply.get("body") or ""
        return base64.b64decode(body) if self.reply.get("isBase64Encoded") else body.encode()


class Runtime(BaseHTTPRequestHandler):
    """The Runtime API: one event, then silence."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        run = self.server.run
        if "polled" in run:
            run["done"].wait()
            return
        run["polled"] = time.perf_counter()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "1")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + SECONDS) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:1:function:predict")
        self.send_header("Content-Length", str(len(run["event"])))
        self.end_headers()
        self.wfile.write(run["event"])

    def do_POST(self):
        run = self.server.run
        run["reply"] = self.rfile.read(int(self.headers["Content-Length"]))
        run["answered"] = time.perf_counter()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        run["done"].set()


def start(command, environment, event):
    """Starts the function, gives it the event, and ends it after its answer."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # the process is killed while it polls
    server.run = run = {"done": threading.Event(), "event": json.dumps(event).encode()}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = environment | FUNCTION | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}"}
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=settings, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            while not run["done"].wait(0.5) and process.poll() is None and time.perf_counter() - started < SECONDS:
                pass
            # Not the largest size that wait4 tells: that counts this process, as it was when it forked.
            if process.returncode is None:
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        finally:
            process.kill()
            usage = os.wait4(process.pid, 0)[2] if process.returncode is None else None
            process.returncode = process.returncode or -9
            server.shutdown()
            server.server_close()
        out.seek(0)
        log = out.read().decode(errors="replace")
    if "answered" not in run or usage is None:
        raise RuntimeError(f"{command} gave no answer: {log[-2000:]}")
    times = [(run[what] - started) * 1e3 for what in ("polled", "answered")]
    processor = (usage.ru_utime + usage.ru_stime) * 1e3
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return Start(*times, processor, peak, json.loads(run["reply"]), log)
