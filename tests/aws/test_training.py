"""`dunlin train submit` on a Batch of moto, by the command line of AWS. moto runs no container: jobs end at once."""

import json
import os
import pathlib
import subprocess
import sys
import urllib.request

import pytest
from cloud import KEYS, REGION, cloud, hosts

# A stack's outputs are what is read of it; the real one is tests/infra's.
STACK = {
    "Resources": {"Any": {"Type": "AWS::SQS::Queue"}},
    "Outputs": {"Store": {"Value": "s3://models-of-the-stack"}},
}


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with cloud(tmp_path_factory.mktemp("logs")) as started:
        config = json.dumps({"batch": {"use_docker": False}}).encode()
        request = urllib.request.Request(f"{started.endpoint}/moto-api/config", config, method="POST")
        urllib.request.urlopen(request).close()
        yield started


def stack(aws, name, **outputs):
    template = {**STACK, "Outputs": STACK["Outputs"] | {key: {"Value": value} for key, value in outputs.items()}}
    aws.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))


@pytest.fixture(scope="module")
def deployed(aws):
    """A queue and a job definition, named by a stack's outputs."""
    role = aws.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    batch = aws.client("batch")
    made = batch.create_compute_environment(
        computeEnvironmentName="gpus", type="UNMANAGED", state="ENABLED", serviceRole=role
    )
    order = [{"order": 1, "computeEnvironment": made["computeEnvironmentArn"]}]
    queue = batch.create_job_queue(jobQueueName="training", state="ENABLED", priority=1, computeEnvironmentOrder=order)
    definition = batch.register_job_definition(
        jobDefinitionName="training",
        type="container",
        parameters={"recipe": "cnn", "model": "digits"},
        containerProperties={
            "image": "trainer",
            "vcpus": 1,
            "memory": 128,
            "command": ["Ref::recipe", "--data", "Ref::data", "--publish", "Ref::model"],
        },
    )
    stack(aws, "dunlin", TrainingQueue=queue["jobQueueArn"], TrainingDefinition=definition["jobDefinitionArn"])
    return queue["jobQueueArn"], definition["jobDefinitionArn"]


def submit(aws, *arguments):
    beside = str(pathlib.Path(sys.executable).parent)
    environment = hosts.environment(AWS_ENDPOINT_URL=aws.endpoint, AWS_DEFAULT_REGION=REGION, **KEYS)
    environment["PATH"] = os.pathsep.join([beside, environment["PATH"]])
    command = [*hosts.DUNLIN, "train", "submit", "--json", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_the_job_is_the_stacks_and_is_told_what_was_asked_for(aws, deployed):
    done = submit(aws, "--model", "flowers", "--recipe", "resnet", "--watch")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == "SUCCEEDED"
    (job,) = aws.client("batch").describe_jobs(jobs=[told["job"]])["jobs"]
    assert (job["jobQueue"], job["jobDefinition"], job["jobName"]) == (*deployed, "flowers")
    assert told["parameters"] == {
        "recipe": "resnet",
        "model": "flowers",
        "data": "s3://models-of-the-stack/datasets/flowers",
        "run": "s3://models-of-the-stack/runs/flowers",
    }
    assert job["parameters"] == told["parameters"]


def test_options_of_the_trainer_come_behind_the_definitions_command(aws, deployed):
    gate = "accuracy>=production+0.01 (p<0.05)"
    done = submit(aws, "--data", "s3://flowers", "--recipe", "resnet", "--", "--require", gate)
    assert done.returncode == 0, done.stderr
    (job,) = aws.client("batch").describe_jobs(jobs=[json.loads(done.stdout)["job"]])["jobs"]
    told = ["resnet", "--data", "s3://flowers", "--publish", "digits", "--require", gate]
    assert job["container"]["command"] == told


def test_what_stands_in_its_way_is_told(aws, deployed):
    missing = submit(aws, "--stack", "nowhere")
    assert missing.returncode != 0 and "nowhere" in missing.stderr, missing
    stack(aws, "without")
    untrained = submit(aws, "--stack", "without")
    assert untrained.returncode != 0 and "TrainingImage" in untrained.stderr, untrained
