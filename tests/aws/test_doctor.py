"""`dunlin doctor` on buckets of moto's S3, asked by AWS's own command line: as the template makes one, and bare ones.

What moto gives of a policy or of versioning is what was put there; that AWS acts by it is not shown here.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from cloud import KEYS, cloud, hosts


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with cloud(tmp_path_factory.mktemp("logs")) as started:
        yield started


def template():
    """What infra/template.yaml says of the bucket and its policy, for a bucket of this name."""
    text = (hosts.ROOT / "infra" / "template.yaml").read_text()
    start = text.index("Sid: NothingIsOverwritten")
    statement = text[start : text.index("# A number that was taken")]
    return [line.split("${ModelBucket.Arn}")[1] for line in statement.splitlines() if "ModelBucket.Arn" in line]


def guarded(aws, name, resources):
    aws.s3.create_bucket(Bucket=name)
    aws.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    blocks = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    aws.s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    aws.s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": [f"arn:aws:s3:::{name}{resource}" for resource in resources],
        "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    aws.s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def doctor(aws, bucket, **more):
    """Exit code, and finding -> (state, cure)."""
    beside = str(pathlib.Path(sys.executable).parent)
    environment = hosts.environment(AWS_ENDPOINT_URL=aws.endpoint, **(KEYS | more))
    environment["PATH"] = os.pathsep.join([beside, environment["PATH"]])
    command = [*hosts.DUNLIN, "doctor", "--json", "--store", f"s3://{bucket}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout, done.stderr
    return done.returncode, {said["check"]: (said["state"], said.get("cure", "")) for said in json.loads(done.stdout)}


def test_a_bucket_as_the_template_makes_it_is_good(aws):
    guarded(aws, "as-it-should-be", template())
    code, found = doctor(aws, "as-it-should-be")
    for check in ("store", "writing", "conditions", "clock", "region", "versioning", "encryption", "policy", "privacy"):
        assert found[check][0] == "good", (check, found)
    assert code == 0, found


def test_what_is_missing_is_told_with_its_cure(aws):
    aws.s3.create_bucket(Bucket="bare")
    code, found = doctor(aws, "bare")
    assert code != 0
    for check in ("versioning", "policy", "privacy"):
        assert found[check][0] == "bad" and "template.yaml" in found[check][1], (check, found)
    # Whatever is put into S3 is encrypted since 2023, and moto says so too.
    assert found["encryption"][0] in ("good", "bad"), found

    guarded(aws, "half", ["/blobs/*"])
    aws.s3.put_bucket_versioning(Bucket="half", VersioningConfiguration={"Status": "Suspended"})
    aws.s3.put_public_access_block(Bucket="half", PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    _, found = doctor(aws, "half", AWS_REGION="eu-west-1")
    assert {
        check: said[0] for check, said in found.items() if check in ("versioning", "policy", "privacy", "region")
    } == {
        "versioning": "bad",
        "policy": "bad",
        "privacy": "bad",
        "region": "warning",
    }


def test_a_bucket_that_is_not_there(aws):
    code, found = doctor(aws, "nowhere")
    assert code != 0
    assert found["store"][0] == "bad" and "dunlin deploy" in found["store"][1]
