"""moto's S3, with signatures and permissions checked, for s3.test.mjs; and what is in it, told by AWS's own client, boto3. Knows
nothing of Mayfly.

Prints one JSON line when it listens: {"url", "bucket", "key": {"id", "secret"}}; the key opens this bucket and nothing else. Then
every line on stdin is answered by one: `keys` with the objects that there are. Ends with its stdin."""
import json
import sys
import urllib.request

BUCKET = "kept-here"
# What restic and the Worker do. `HeadBucket` is moto's name for what AWS counts as `ListBucket`.
ACTIONS = ["s3:ListBucket", "s3:HeadBucket", "s3:GetBucketLocation", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"]


def client(service, url, key):
    import boto3
    return boto3.client(service, region_name="us-east-1", endpoint_url=url, aws_access_key_id=key["id"],
                        aws_secret_access_key=key["secret"])


def user(iam, name, actions):
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"id": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


def main():
    from moto.server import ThreadedMotoServer
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    iam = client("iam", url, {"id": "AKIAIOSFODNN7EXAMPLE", "secret": "nobody"})
    key = user(iam, "mayfly", ACTIONS)
    root = user(iam, "root", ["*"])
    # From here on every signature and every permission is checked.
    body = {"data": b"0", "headers": {"Content-Type": "text/plain"}, "method": "POST"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", **body)).read()
    s3 = client("s3", url, root)
    s3.create_bucket(Bucket=BUCKET)
    print(json.dumps({"url": url, "bucket": BUCKET, "key": key}), flush=True)
    for _ in sys.stdin:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        print(json.dumps([it["Key"] for page in pages for it in page.get("Contents", [])]), flush=True)
    server.stop()


if __name__ == "__main__":
    main()
