"""Fill a moto server with machines, for tests: `seed`, `churn` and `set-tag`.

Called by `tests/moto/run`, which sets AWS_ENDPOINT_URL and the rest. Each command prints
one line of JSON. moto counts a page in reservations, as EC2 does, so there are many
small reservations: one for each few machines of the same cluster and role.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import random
import sys
import time
import urllib.parse
import urllib.request

import boto3
import botocore.config
import botocore.exceptions

REGIONS = "eu-west-1,us-east-1,ap-southeast-2"
IMAGES = {"amd64": "ami-0a000000000000001", "arm64": "ami-0a000000000000002", "windows": "ami-0a000000000000003"}
NO_DISK = [{"DeviceName": "/dev/xvda", "NoDevice": "", "Ebs": {"VolumeSize": 8}}]

#        role      team        instance types
ROLES = [
    ("web", "storefront", ["m5.large", "m6i.large"]),
    ("db", "data", ["r5.xlarge", "r5.2xlarge"]),
    ("cache", "data", ["r6g.large"]),
    ("worker", "fulfilment", ["c5.large", "c5.xlarge"]),
    ("queue", "fulfilment", ["m5.large"]),
    ("node", "platform", ["m5.2xlarge"]),
    ("lb", "platform", ["c5.large"]),
    ("search", "storefront", ["r5.large"]),
    ("ci", "engineering", ["c5.4xlarge"]),
    ("win", "finance", ["m5.large"]),
]
PRODUCTS = ["shop", "billing", "search", "identity", "warehouse"]
ENVIRONMENTS = ["prod", "prod", "prod", "staging", "dev"]
COST_CENTRES = {
    "storefront": "4100", "data": "4200", "fulfilment": "4300", "platform": "5000", "engineering": "5100", "finance": "7000",
}

# Values that a label cannot have, or that a terminal must not be given as they are.
# ESC, NUL and the other C0 characters are not XML: moto accepts them and then answers every
# DescribeInstances with a document that no parser reads. `set-tag` can do that on purpose.
# The 8-bit CSI (U+009B) is the escape sequence that EC2's XML does carry.
HOSTILE_NAMES = {
    "csi-colour": "web-\u009b31mred\u009b0m",
    "csi-clear": "db-\u009b2J\u009bH-gone",
    "osc-title": "lb-\u009d0;owned\u009c",
    "delete": "ci-a\u007fb",
    "next-line": "queue-a\u0085b",
    "newline": "web-001\nweb-002 ready",
    "tab": "cache\t001",
    "bidi-override": "web-\u202egnp.exe",
    "bidi-isolate": "db-\u2066001\u2069",
    "zero-width": "web\u200b-eu\u200d-\ufeff001",
    "line-separator": "node-a\u2028b",
    "combining": "worker-" + "e" + "\u0301" * 40,
    "markup": "<b>web</b> & \"db\" 'x'",
}
ODD_TAGS = [
    {"Owner": "Ann-Kathrin Müller (Büro 3)"},
    {"Project": "Größe/Fläche – 測試"},
    {"Emoji": "🚀🔥 ship it 👩‍👩‍👧"},
    {"path/with/slashes and spaces": "C:\\Program Files\\x"},
    {"empty": ""},
    {"Team:Sub=Key": "a=b,c:d;e"},
    {"ключ": "значение"},
    {"  spaces around  ": "  kept  "},
]
LONG = 255


def fail(message):
    print(f"moto: {message}", file=sys.stderr)
    sys.exit(1)


def endpoint():
    url = os.environ.get("AWS_ENDPOINT_URL", "")
    if urllib.parse.urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        fail(f"AWS_ENDPOINT_URL is {url!r}, which is not this machine: nothing was done")
    return url


def client(region):
    config = botocore.config.Config(proxies={}, retries={"max_attempts": 2}, read_timeout=120)
    return boto3.client(
        "ec2", region_name=region, endpoint_url=endpoint(), config=config,
        aws_access_key_id="test", aws_secret_access_key="test",
    )


def post(path):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(urllib.request.Request(endpoint() + path, data=b"", method="POST"), timeout=60).close()


def as_list(tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def short(region):
    """eu-west-1 -> eu, us-east-1 -> us, ap-southeast-2 -> ap"""
    return region.split("-")[0]


class Fleet:
    """Draws reservations one after the other; the same seed draws the same ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numbers = collections.Counter()

    def name(self, role, region, environment):
        prefix = f"{role}-{short(region)}" if role in ("web", "lb", "cache", "node") else f"{role}-{environment}"
        self.numbers[prefix] += 1
        return f"{prefix}-{self.numbers[prefix]:03}"

    def reservation(self, region, limit, largest=25):
        draw = self.random
        role, team, types = draw.choice(ROLES)
        environment = draw.choice(ENVIRONMENTS)
        cluster = f"{draw.choice(PRODUCTS)}-{environment}-{short(region)}"
        size = 1 if draw.random() < 0.1 else draw.randint((largest + 2) // 3, largest)
        kind = draw.choice(types)
        tags = {
            "Cluster": cluster, "Role": role, "Team": team, "Environment": environment, "CostCentre": COST_CENTRES[team],
        }
        if role == "node":
            tags[f"kubernetes.io/cluster/{cluster}"] = "owned"
        return {
            "region": region,
            "zone": region + draw.choice("abc"),
            "type": kind,
            "image": IMAGES["windows" if role == "win" else "arm64" if "6g" in kind else "amd64"],
            "public": role in ("web", "lb"),
            "tags": tags,
            "names": [self.name(role, region, environment) for _ in range(min(size, limit))],
        }


def run_instances(ec2, reservation):
    """The ids, in the order of the names."""
    count = len(reservation["names"])
    answer = ec2.run_instances(
        ImageId=reservation["image"], InstanceType=reservation["type"], MinCount=count, MaxCount=count,
        Placement={"AvailabilityZone": reservation["zone"]},
        NetworkInterfaces=[{"DeviceIndex": 0, "AssociatePublicIpAddress": reservation["public"]}],
        BlockDeviceMappings=NO_DISK,  # disks cost moto much time, and no fetcher looks at them
        TagSpecifications=[{"ResourceType": "instance", "Tags": as_list(reservation["tags"])}],
    )
    return [instance["InstanceId"] for instance in answer["Instances"]]


def tag(ec2, machine):
    tags = ({} if machine["name"] is None else {"Name": machine["name"]}) | machine["extra"]
    if tags:
        ec2.create_tags(Resources=[machine["id"]], Tags=as_list(tags))
    if machine["oddity"] == "no-cluster":
        ec2.delete_tags(Resources=[machine["id"]], Tags=[{"Key": "Cluster"}])


def plan_oddities(draw, machines):
    """Kind -> machines. Machines of different kinds are different, so that counts add up."""
    share = max(2, len(machines) // 100)
    wanted = []  # the most telling ones first: a small fleet gets only these
    for name in HOSTILE_NAMES:
        wanted.append(("hostile-name", name))
    wanted += [("no-name", None)] * 3 + [("same-name", None)] * 4
    wanted += [("odd-tags", index) for index in range(len(ODD_TAGS))]
    wanted += [("long-value", None)] * 3 + [("no-cluster", None)] * 3
    wanted += [("stopped", None)] * share + [("terminated", None)] * share
    order = sorted({kind for kind, _ in wanted}, key=[kind for kind, _ in wanted].index)
    half = len(machines) // 2
    if len(wanted) > half:  # take turns among the kinds
        piles = {kind: [entry for entry in wanted if entry[0] == kind] for kind in order}
        wanted = []
        while len(wanted) < half and any(piles.values()):
            for kind in order:
                if piles[kind] and len(wanted) < half:
                    wanted.append(piles[kind].pop(0))
        # one machine with a name that nobody else has is not a machine of the same name
        while sum(kind == "same-name" for kind, _ in wanted) % 2:
            wanted.remove(("same-name", None))
    chosen = draw.sample(machines, len(wanted))
    plan = collections.defaultdict(list)
    for (kind, detail), machine in zip(wanted, chosen):
        machine["oddity"] = kind
        machine["detail"] = detail
        plan[kind].append(machine)
    return plan


def apply_oddities(plan):
    """Changes names and tags in place; states come later."""
    for machine in plan["hostile-name"]:
        machine["name"] = HOSTILE_NAMES[machine["detail"]]
    for machine in plan["no-name"]:
        machine["name"] = None
    same = plan["same-name"]
    for first, second in zip(same[0::2], same[1::2]):
        second["name"] = first["name"]
    for machine in plan["odd-tags"]:
        machine["extra"] = ODD_TAGS[machine["detail"]]
    for index, machine in enumerate(plan["long-value"]):
        machine["extra"] = {"Description": ("long value " * 30)[: LONG - 2] + f"{index:02}"}
        if index == 0:
            machine["name"] = ("web-" + "x" * LONG)[:LONG]


def seed(options):
    began = time.monotonic()
    regions = [region.strip() for region in options.regions.split(",") if region.strip()]
    if not regions:
        fail("--regions names no region")
    share = {region: options.hosts // len(regions) + (index < options.hosts % len(regions)) for index, region in enumerate(regions)}

    clients = {region: client(region) for region in regions}
    post("/moto-api/reset")
    for ec2 in clients.values():  # the networks of a region are drawn at its first use
        ec2.describe_vpcs()
    post(f"/moto-api/seed?a={options.seed}")

    fleet = Fleet(options.seed)
    machines, reservations = [], []
    for region in regions:
        left = share[region]
        largest = min(25, left // 8 + 1)  # a small fleet has several clusters as well
        while left:
            reservation = fleet.reservation(region, left, largest)
            left -= len(reservation["names"])
            reservation["machines"] = [
                {"region": region, "name": name, "extra": {}, "tags": reservation["tags"], "oddity": None} for name in reservation["names"]
            ]
            reservations.append(reservation)
            machines += reservation["machines"]
    plan = plan_oddities(fleet.random, machines)
    apply_oddities(plan)

    # one RunInstances after the other and nothing beside it: moto draws ids as calls come in
    for reservation in reservations:
        for machine, instance in zip(reservation["machines"], run_instances(clients[reservation["region"]], reservation)):
            machine["id"] = instance
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda machine: tag(clients[machine["region"]], machine), machines))
    for region, ec2 in clients.items():
        ids = {kind: [machine["id"] for machine in plan[kind] if machine["region"] == region] for kind in ("stopped", "terminated")}
        if ids["stopped"]:
            ec2.stop_instances(InstanceIds=ids["stopped"])
        if ids["terminated"]:
            ec2.terminate_instances(InstanceIds=ids["terminated"])

    oddities = {}
    for kind in plan:
        oddities[kind] = [
            {"id": m["id"], "region": m["region"], "name": m["name"]}
            | ({"tags": m["extra"]} if m["extra"] else {})
            | ({"detail": m["detail"]} if isinstance(m["detail"], str) else {})
            for m in plan[kind]
        ]
    state = {"stopped": "stopped", "terminated": "terminated"}
    report = {
        "seed": options.seed,
        "hosts": len(machines),
        "reservations": len(reservations),
        "seconds": round(time.monotonic() - began, 1),
        "regions": {},
        "counts": {kind: len(entries) for kind, entries in oddities.items()},
        "oddities": oddities,
    }
    for region in regions:
        here = [machine for machine in machines if machine["region"] == region]
        report["regions"][region] = {
            "hosts": len(here),
            "reservations": sum(r["region"] == region for r in reservations),
            "states": collections.Counter(state.get(m["oddity"], "running") for m in here),
            "clusters": collections.Counter(m["tags"]["Cluster"] for m in here if m["oddity"] != "no-cluster"),
        }
    print(json.dumps(report))


def churn(options):
    ec2 = client(options.region)
    running = []
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    for page in pages:
        running += [instance["InstanceId"] for reservation in page["Reservations"] for instance in reservation["Instances"]]
    if options.terminate > len(running):
        fail(f"{options.region} has {len(running)} running instances, not {options.terminate}")
    fleet = Fleet(options.seed)
    ended = fleet.random.sample(sorted(running), options.terminate)
    if ended:
        ec2.terminate_instances(InstanceIds=ended)
    started = []
    while len(started) < options.start:
        reservation = fleet.reservation(options.region, options.start - len(started))
        for instance, name in zip(run_instances(ec2, reservation), reservation["names"]):
            name = f"new-{name}"
            ec2.create_tags(Resources=[instance], Tags=[{"Key": "Name", "Value": name}])
            started.append({"id": instance, "name": name, "cluster": reservation["tags"]["Cluster"]})
    print(json.dumps({"region": options.region, "terminated": ended, "started": started}))


def set_tag(options):
    for region in options.region.split(","):
        ec2 = client(region)
        try:  # CreateTags does not mind an instance that is not there
            ec2.describe_instance_status(InstanceIds=[options.instance], IncludeAllInstances=True)
        except botocore.exceptions.ClientError as error:
            if not error.response["Error"]["Code"].startswith("InvalidInstanceID"):
                raise
            continue
        ec2.create_tags(Resources=[options.instance], Tags=[{"Key": options.key, "Value": options.value}])
        print(json.dumps({"id": options.instance, "region": region, "key": options.key, "value": options.value}))
        return
    fail(f"no instance {options.instance} in {options.region}")


def count(text):
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("a number of machines is not negative")
    return number


def main():
    parser = argparse.ArgumentParser(prog="tests/moto/run", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("seed")
    one.add_argument("--hosts", type=count, default=500)
    one.add_argument("--regions", default=REGIONS)
    one.add_argument("--seed", type=int, default=1)
    one = commands.add_parser("churn")
    one.add_argument("--region", required=True)
    one.add_argument("--terminate", type=count, default=0)
    one.add_argument("--start", type=count, default=0)
    one.add_argument("--seed", type=int, default=1)
    one = commands.add_parser("set-tag")
    one.add_argument("instance")
    one.add_argument("key")
    one.add_argument("value")
    one.add_argument("--region", default=REGIONS)
    options = parser.parse_args()
    {"seed": seed, "churn": churn, "set-tag": set_tag}[options.command](options)


if __name__ == "__main__":
    main()
