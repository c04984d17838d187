"""Events that moto's own services make, through queues, into the built function."""

import json
import shutil

import cloud as aws
import pytest
from cloud import hosts

DIGITS = hosts.ROOT / "models" / "digits"


def picture(digit):
    return (DIGITS / "examples" / f"{digit}.png").read_bytes()


def push(endpoint, folder):
    settings = {"AWS_ENDPOINT_URL_S3": endpoint, **aws.KEYS}
    kept = dict(hosts.S3)
    hosts.S3.update(settings)
    try:
        hosts.dunlin("push", str(folder), store="s3://models/dunlin")
    finally:
        hosts.S3.clear()
        hosts.S3.update(kept)


@pytest.fixture
def site(tmp_path):
    """A moto server with digits published, and the function over it."""
    with aws.cloud(tmp_path) as cloud:
        for bucket in ("models", "inbox"):
            cloud.s3.create_bucket(Bucket=bucket)
        push(cloud.endpoint, DIGITS)
        settings = {
            "DUNLIN_STORE": "s3://models/dunlin",
            "DUNLIN_INPUTS": "s3://inbox",
            "DUNLIN_ROUTES": "in/=digits,later/=later",
            # A model that is published while the function runs is looked for again at once.
            "DUNLIN_REFRESH_SECONDS": "0",
        }
        with aws.function(cloud.endpoint, tmp_path, **settings) as call:
            yield cloud, call, tmp_path


def labels(cloud):
    """The best label of each result, by the input's key."""
    results = cloud.objects("models", "dunlin/results/")
    return {
        result["input"]["object"].removeprefix("s3://inbox/"): result["answer"]["predictions"][0]["label"]
        for result in results.values()
    }


def test_bucket_to_queue(site):
    cloud, call, _ = site
    url, arn = cloud.queue("uploads")
    cloud.s3.put_bucket_notification_configuration(
        Bucket="inbox",
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    for digit in range(5):
        cloud.s3.put_object(Bucket="inbox", Key=f"in/a b+ü {digit}.png", Body=picture(digit))
    cloud.s3.put_object(Bucket="inbox", Key="in/poison.png", Body=b"no picture")
    # The test event of the notification's own set-up may be among them.
    assert aws.drain(cloud, call, url, arn) >= 6
    assert labels(cloud) == {f"in/a b+ü {digit}.png": str(digit) for digit in range(5)}
    (letter,) = cloud.objects("models", "dunlin/dead-letters/").values()
    assert letter["kind"] == "unsupported_media_type"
    assert letter["input"]["object"] == "s3://inbox/in/poison.png"


def test_bucket_to_rule_to_queue(site):
    cloud, call, _ = site
    url, arn = cloud.queue("ruled")
    cloud.s3.put_bucket_notification_configuration(
        Bucket="inbox", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": ["inbox"]}}}
    cloud.events.put_rule(Name="created", EventPattern=json.dumps(pattern), State="ENABLED")
    cloud.events.put_targets(Rule="created", Targets=[{"Id": "queue", "Arn": arn}])
    for digit in (7, 8):
        cloud.s3.put_object(Bucket="inbox", Key=f"in/a b+{digit}.png", Body=picture(digit))
    assert aws.drain(cloud, call, url, arn) == 2
    assert labels(cloud) == {"in/a b+7.png": "7", "in/a b+8.png": "8"}


def test_what_never_succeeds_ends_in_the_dead_letter_queue_and_comes_back(site):
    cloud, call, folder = site
    dead_url, dead_arn = cloud.queue("dead")
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": "3"})
    url, arn = cloud.queue("jobs", RedrivePolicy=redrive)
    cloud.s3.put_object(Bucket="inbox", Key="later/6.png", Body=picture(6))
    cloud.s3.put_object(Bucket="inbox", Key="in/2.png", Body=picture(2))
    for key in ("later/6.png", "in/2.png"):
        cloud.sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"object": f"s3://inbox/{key}"}))
    # The model `later` is not there: its message is given back, alone, as often as the queue allows.
    given_back = 0
    while True:
        messages, failed = aws.poll(cloud, call, url, arn)
        if not messages:
            break
        given_back += len(failed)
    assert given_back == 3
    assert labels(cloud) == {"in/2.png": "2"}
    waiting = cloud.sqs.receive_message(QueueUrl=dead_url, VisibilityTimeout=0)["Messages"]
    assert json.loads(waiting[0]["Body"]) == {"object": "s3://inbox/later/6.png"}
    # It is published; the messages are moved back, and answered.
    shutil.copytree(DIGITS, folder / "later")
    description = folder / "later" / "model.toml"
    description.write_text(description.read_text().replace('name = "digits"', 'name = "later"'))
    push(cloud.endpoint, folder / "later")
    # By hand: moto's StartMessageMoveTask answers 500.
    for message in cloud.sqs.receive_message(QueueUrl=dead_url)["Messages"]:
        cloud.sqs.send_message(QueueUrl=url, MessageBody=message["Body"])
        cloud.sqs.delete_message(QueueUrl=dead_url, ReceiptHandle=message["ReceiptHandle"])
    assert aws.drain(cloud, call, url, arn) == 1
    assert labels(cloud) == {"in/2.png": "2", "later/6.png": "6"}
    assert not cloud.objects("models", "dunlin/dead-letters/")
