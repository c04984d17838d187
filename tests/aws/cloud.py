"""AWS as a server of this machine (moto), the function `batch` under AWS's emulator, and a poller between the two.

The poller does what Lambda's event source mapping does: it receives messages, hands them over as one event, deletes
what was answered, and makes what `batchItemFailures` names visible again.
"""

import contextlib
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

import boto3

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "clients"))
import hosts  # noqa: E402  (the path above is where it lies)

REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_REGION": REGION}
BATCH = hosts.RELEASE / "bootstrap-batch"


class Cloud:
    """Clients of one moto server."""

    def __init__(self, address):
        self.endpoint = f"http://{address}"
        self.s3, self.sqs, self.events = map(self.client, ("s3", "sqs", "events"))

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def queue(self, name, **attributes):
        """Makes a queue; gives its URL and ARN."""
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    def objects(self, bucket, prefix):
        """Every object below a prefix, by its key, parsed."""
        listed = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        read = {entry["Key"]: self.s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in listed}
        return {key: json.loads(body) for key, body in read.items()}


@contextlib.contextmanager
def cloud(logs):
    """A moto server."""
    (port,) = hosts.free_ports(1)
    log = logs / "moto.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with hosts.process(command, log, env=hosts.environment()) as child:
        hosts.wait_until(f"http://127.0.0.1:{port}/moto-api/", child, log)
        yield Cloud(f"127.0.0.1:{port}")


@contextlib.contextmanager
def function(endpoint, logs, **settings):
    """The built `bootstrap-batch` under the Runtime Interface Emulator; gives what invokes it."""
    invoke, runtime = hosts.free_ports(2)
    command = [
        hosts.RIE,
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{invoke}",
        "--runtime-api-address",
        f"127.0.0.1:{runtime}",
        str(BATCH),
    ]
    environment = hosts.environment(
        AWS_LAMBDA_FUNCTION_NAME="batch",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="1769",
        AWS_LAMBDA_FUNCTION_TIMEOUT="60",
        DUNLIN_S3_ENDPOINT=endpoint,
        **KEYS,
        **settings,
    )
    url = f"http://127.0.0.1:{invoke}/2015-03-31/functions/function/invocations"

    def call(event):
        request = urllib.request.Request(url, data=json.dumps(event).encode())
        # The emulator may not listen yet.
        for _ in range(100):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.URLError as problem:
                if not isinstance(problem.reason, ConnectionRefusedError) or child.poll() is not None:
                    raise RuntimeError(log.read_text()) from problem
                time.sleep(0.1)
        raise RuntimeError(log.read_text())

    log = logs / "batch.log"
    with hosts.process(command, log, env=environment) as child:
        yield call


def poll(cloud, call, url, arn):
    """Hands over what is in a queue, once; gives the messages that came, and the ids of those given back."""
    received = cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])
    messages = received.get("Messages", [])
    if not messages:
        return [], set()
    records = [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": arn,
            "awsRegion": REGION,
        }
        for message in messages
    ]
    answer = call({"Records": records})
    failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
    for message in messages:
        handle = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
        if message["MessageId"] in failed:
            cloud.sqs.change_message_visibility(**handle, VisibilityTimeout=0)
        else:
            cloud.sqs.delete_message(**handle)
    return messages, failed


def drain(cloud, call, url, arn):
    """Polls until the queue is empty; gives how many messages came."""
    came = 0
    while True:
        messages, _ = poll(cloud, call, url, arn)
        if not messages:
            return came
        came += len(messages)
