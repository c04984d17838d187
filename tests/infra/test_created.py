"""The expanded stack in moto's CloudFormation: what is really created of it.

moto's CloudFormation passes over API Gateway v2, S3 notifications, policies of buckets and queues, aliases, alarms
and the destinations of failures: those are test_template.py's. What is asserted here, moto's own APIs answer for.
"""

import io
import json
import zipfile

import boto3
import pytest
from moto import mock_aws

from stack import PSEUDO, Stack
from test_template import FULL

REGION = PSEUDO["AWS::Region"]


@pytest.fixture(scope="module")
def aws():
    """Credentials that reach nobody, and a bucket with the code."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        s3 = client("s3")
        s3.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("bootstrap", "")
        s3.put_object(Bucket="code", Key="bootstrap.zip", Body=zipped.getvalue())
        yield


def client(service):
    return boto3.client(service, region_name=REGION)


def create(name, stack, kept, **parameters):
    """Creates what is `kept` of a stack; gives logical id -> physical id."""
    template = {**stack.template, "Outputs": {}}
    template["Resources"] = {key: said for key, said in template["Resources"].items() if kept(key, said["Type"])}
    template.pop("Rules", None)
    given = {key: value for key, value in (stack.parameters | parameters).items() if value is not None}
    cloudformation = client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": key, "ParameterValue": str(value)} for key, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    (told,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    assert told["StackStatus"] == "CREATE_COMPLETE"
    listed = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    # What moto passes over is listed without a name.
    return {said["LogicalResourceId"]: said["PhysicalResourceId"] for said in listed if "PhysicalResourceId" in said}


@pytest.fixture(scope="module")
def made(aws):
    return create("dunlin", Stack("template.yaml", **FULL), lambda _, kind: kind != "AWS::CloudFormation::Stack")


def arn(queue_url):
    attributes = client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    return attributes["Attributes"]["QueueArn"]


def test_functions_exist_with_their_roles_and_settings(made):
    for name, role in {
        "PredictFunction": "PredictRole",
        "BatchFunction": "BatchRole",
        "PublishFunction": "PublishRole",
        "AdminFunction": "AdminRole",
    }.items():
        said = client("lambda").get_function(FunctionName=made[name])["Configuration"]
        assert said["Runtime"] == "provided.al2023"
        assert said["Handler"] == "bootstrap"
        assert said["Role"].endswith("/" + made[role])
        assert said["Environment"]["Variables"]["DUNLIN_STORE"] == f"s3://{made['ModelBucket']}"
    assert said["Environment"]["Variables"]["DUNLIN_ADMIN_GUARDED"] == "true"


def test_queues_feed_the_functions_and_single_messages_can_be_given_back(made):
    sources = client("lambda").list_event_source_mappings()["EventSourceMappings"]
    told = {(said["EventSourceArn"], said["FunctionArn"].split(":")[6]): said for said in sources}
    wanted = {
        (arn(made["InboxQueue"]), made["BatchFunction"]): 10,
        (arn(made["UploadQueue"]), made["PublishFunction"]): 1,
    }
    assert set(told) == set(wanted)
    for key, size in wanted.items():
        assert told[key]["BatchSize"] == size
        assert told[key]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_message_that_is_never_taken_ends_among_the_dead_letters(made):
    sqs = client("sqs")
    for queue, letters in {"InboxQueue": "InboxDeadLetters", "UploadQueue": "UploadDeadLetters"}.items():
        told = sqs.get_queue_attributes(QueueUrl=made[queue], AttributeNames=["All"])["Attributes"]
        redrive = json.loads(told["RedrivePolicy"])
        assert redrive["deadLetterTargetArn"] == arn(made[letters])
        sqs.send_message(QueueUrl=made[queue], MessageBody="never taken")
        for _ in range(int(redrive["maxReceiveCount"]) + 1):
            for message in sqs.receive_message(QueueUrl=made[queue]).get("Messages", []):
                sqs.change_message_visibility(
                    QueueUrl=made[queue], ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )
        (dead,) = sqs.receive_message(QueueUrl=made[letters])["Messages"]
        assert dead["Body"] == "never taken"


def test_visibility_is_six_times_the_functions_timeout(made):
    for queue, function in {"InboxQueue": "BatchFunction", "UploadQueue": "PublishFunction"}.items():
        told = client("sqs").get_queue_attributes(QueueUrl=made[queue], AttributeNames=["All"])["Attributes"]
        timeout = client("lambda").get_function_configuration(FunctionName=made[function])["Timeout"]
        assert int(told["VisibilityTimeout"]) >= 6 * timeout


def test_the_schedule_reaches_batch(made):
    events = client("events")
    rule = made["BatchFunctionSweep"]
    assert events.describe_rule(Name=rule)["ScheduleExpression"] == "rate(1 hour)"
    (target,) = events.list_targets_by_rule(Rule=rule)["Targets"]
    assert target["Arn"].endswith(":" + made["BatchFunction"])
    assert target["DeadLetterConfig"]["Arn"] == arn(made["InboxDeadLetters"])
    policy = json.loads(client("lambda").get_policy(FunctionName=made["BatchFunction"])["Policy"])
    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}


def test_the_schedule_of_canaries_reaches_admin(made):
    events = client("events")
    assert events.describe_rule(Name=made["AdvanceRule"])["ScheduleExpression"] == "rate(1 minute)"
    (target,) = events.list_targets_by_rule(Rule=made["AdvanceRule"])["Targets"]
    assert target["Arn"].endswith(":" + made["AdminFunction"])
    policy = json.loads(client("lambda").get_policy(FunctionName=made["AdminFunction"])["Policy"])
    assert {said["Principal"]["Service"] for said in policy["Statement"]} == {"events.amazonaws.com"}


def test_an_object_of_the_other_bucket_arrives_in_the_inbox(made):
    sqs, events, s3 = client("sqs"), client("events"), client("s3")
    (target,) = events.list_targets_by_rule(Rule=made["InputRule"])["Targets"]
    assert target["Arn"] == arn(made["InboxQueue"])
    s3.create_bucket(Bucket="inputs", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_notification_configuration(
        Bucket="inputs", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    s3.put_object(Bucket="inputs", Key="inbox/digits/7.png", Body=b"png")
    (message,) = sqs.receive_message(QueueUrl=made["InboxQueue"])["Messages"]
    event = json.loads(message["Body"])
    assert event["detail-type"] == "Object Created"
    assert event["detail"]["object"]["key"] == "inbox/digits/7.png"


def test_roles_hold_their_own_policy_and_no_other(made):
    iam = client("iam")
    for role, policy in {
        "PredictRole": "predict",
        "BatchRole": "batch",
        "PublishRole": "publish",
        "AdminRole": "admin",
    }.items():
        assert iam.list_role_policies(RoleName=made[role])["PolicyNames"] == [policy]
        assert not iam.list_attached_role_policies(RoleName=made[role])["AttachedPolicies"]
        document = iam.get_role_policy(RoleName=made[role], PolicyName=policy)["PolicyDocument"]
        bucket = f"arn:aws:s3:::{made['ModelBucket']}"
        assert f"{bucket}/models/" in json.dumps(document)


def test_the_bucket_is_encrypted(made):
    s3, bucket = client("s3"), made["ModelBucket"]
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_the_training_job_may_bring_models_and_nothing_else(made):
    ec2 = client("ec2")
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=network, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=network, GroupName="gpu", Description="gpu")["GroupId"]
    training = Stack("template.yaml", **FULL).nested("TrainingJob")
    # Where none is named AWS takes Batch's own, service-linked role; moto has none.
    trust = {"Version": "2012-10-17", "Statement": []}
    role = client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    training.template["Resources"]["Compute"]["Properties"]["ServiceRole"] = role
    made = create(
        "training",
        training,
        lambda *_: True,
        Bucket=made["ModelBucket"],
        Subnets=subnet,
        SecurityGroups=group,
    )
    batch = client("batch")
    (compute,) = batch.describe_compute_environments()["computeEnvironments"]
    assert compute["computeResources"]["minvCpus"] == 0
    assert compute["computeResources"]["type"] == "SPOT"
    (queue,) = batch.describe_job_queues()["jobQueues"]
    assert queue["computeEnvironmentOrder"][0]["computeEnvironment"] == compute["computeEnvironmentArn"]
    (definition,) = batch.describe_job_definitions()["jobDefinitions"]
    assert definition["containerProperties"]["image"] == FULL["TrainingImage"]
    assert definition["containerProperties"]["command"][:3] == ["Ref::recipe", "--data", "Ref::data"]
    (target,) = client("events").list_targets_by_rule(Rule=made["Nightly"])["Targets"]
    assert target["Arn"] == queue["jobQueueArn"]
