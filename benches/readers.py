"""Readers of the inventory, for benches/readers-run: the fleet that they read, a raw LIST, and the
inventory for Ansible as it is usually written, with the Python client.

    readers.py seed KUBECONFIG NAMESPACE HOSTS    makes the namespace and the hosts
    readers.py raw KUBECONFIG NAMESPACE [PAGE]    one LIST, or pages, read to the end, nothing parsed
    readers.py client KUBECONFIG NAMESPACE        the inventory by the Python client, on stdout
"""

import http.client
import json
import ssl
import sys
import tempfile
import threading
import urllib.parse

from kubernetes import client, config

GROUP, VERSION = "inventory.inv-tui.dev", "v1alpha1"
REGIONS = ["eu-west-1", "eu-central-1", "us-east-1", "fra", "dal"]
ROLES = ["web", "api", "db", "cache", "worker", "kafka", "search", "build", "lb", "gpu"]
TIME = "2026-11-20T10:00:00Z"


def open_server(kubeconfig):
    settings = client.Configuration()
    config.load_kube_config(kubeconfig, client_configuration=settings)
    return settings


def connect(settings):
    url = urllib.parse.urlsplit(settings.host)
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=120)


def send(connection, settings, method, path, body=None, kind="application/json"):
    headers = {"Content-Type": kind, "Accept": "application/json"}
    if token := settings.api_key.get("authorization"):
        headers["Authorization"] = token
    connection.request(method, path, body and json.dumps(body), headers)
    return connection.getresponse()


def host(number):
    region, role = REGIONS[number % len(REGIONS)], ROLES[number % len(ROLES)]
    name = f"aws-i-0{number:012x}"
    cluster = f"{role}-{number // 80}"
    labels = {
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": f"{region}a",
        "node.kubernetes.io/instance-type": "m5.large",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        f"{GROUP}/provider": "aws",
        f"{GROUP}/source": "aws",
        f"{GROUP}/account": "123456789012",
        f"{GROUP}/cluster": cluster,
        f"{GROUP}/role": role,
        "env": ["prod", "staging", "dev"][number % 3],
    }
    annotations = {
        f"{GROUP}/display-name": f"{role}-{number:05}",
        f"{GROUP}/tags": json.dumps({"Owner": f"team {role}", "CostCentre": str(number % 40)}),
    }
    spec = {
        "providerID": f"aws:///{region}a/i-0{number:012x}",
        "cluster": cluster,
        "role": role,
        "team": f"team-{role}",
        "environment": labels["env"],
        "serviceState": "OutOfService" if number % 50 == 7 else "InService",
    }
    ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    condition = {"status": "True", "reason": "Fine", "message": "", "lastTransitionTime": TIME}
    status = {
        "phase": "Stopped" if number % 40 == 3 else "Running",
        "addresses": [
            {"type": "Hostname", "address": f"ip-{number}.internal"},
            {"type": "InternalIP", "address": ip},
        ],
        "hardware": {"arch": "amd64", "cpus": 2, "memoryMiB": 8192, "instanceType": "m5.large"},
        "os": {"id": "debian", "version": "13.2", "kernel": "6.12.0-1-amd64"},
        "launchTime": TIME,
        "sources": {"aws": {"uid": f"i-0{number:012x}", "state": "Running", "since": TIME}},
        "conditions": [{"type": t, **condition} for t in ("Ready", "Seen", "ProviderHealthy")],
    }
    meta = {"name": name, "labels": labels, "annotations": annotations}
    head = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Host"}
    return {**head, "metadata": meta, "spec": spec}, {**head, "status": status}


def seed(kubeconfig, namespace, count):
    settings = open_server(kubeconfig)
    connection = connect(settings)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    send(connection, settings, "POST", "/api/v1/namespaces", body).read()
    base = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/hosts"
    apply = "application/apply-patch+yaml"
    wrong = []

    def some(first):
        own = connect(settings)
        for number in range(first, count, 8):
            main, status = host(number)
            name = main["metadata"]["name"]
            for path, body in ((f"{base}/{name}", main), (f"{base}/{name}/status", status)):
                path += "?fieldManager=inv-tui-fetch-aws&force=true"
                answer = send(own, settings, "PATCH", path, body, apply)
                text = answer.read()
                if answer.status >= 300:
                    wrong.append(text)
                    return

    threads = [threading.Thread(target=some, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        sys.exit(f"readers.py: {wrong[0]!r}")


def raw(kubeconfig, namespace, page=None):
    settings = open_server(kubeconfig)
    connection = connect(settings)
    base = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/hosts"
    token, size = "", 0
    while True:
        query = {"limit": page, "continue": token} if page else {}
        answer = send(connection, settings, "GET", f"{base}?{urllib.parse.urlencode(query)}")
        body = answer.read()
        size += len(body)
        if answer.status != 200:
            sys.exit(f"readers.py: {body!r}")
        if not page:
            break
        token = json.loads(body)["metadata"].get("continue")
        if not token:
            break
    print(size)


def inventory(kubeconfig, namespace):
    config.load_kube_config(kubeconfig)
    api = client.CustomObjectsApi()
    groups, hostvars, token = {}, {}, None
    while True:
        page = api.list_namespaced_custom_object(
            GROUP, VERSION, namespace, "hosts", limit=500, _continue=token or ""
        )
        for item in page["items"]:
            meta, spec, status = item["metadata"], item["spec"], item.get("status", {})
            if spec.get("serviceState") != "InService" or status.get("phase") == "Stopped":
                continue
            name, labels = meta["name"], meta.get("labels", {})
            addresses = {a["type"]: a["address"] for a in status.get("addresses", [])}
            hostvars[name] = {
                "ansible_host": addresses.get("InternalIP"),
                "inv_labels": labels,
                "inv_hardware": status.get("hardware"),
                "inv_os": status.get("os"),
                **{f"inv_{key}": spec.get(key) for key in ("cluster", "role", "team")},
            }
            keys = {
                "region": labels.get("topology.kubernetes.io/region"),
                "zone": labels.get("topology.kubernetes.io/zone"),
                "provider": labels.get(f"{GROUP}/provider"),
                "state": status.get("phase"),
                **{key: spec.get(key) for key in ("cluster", "role", "team", "environment")},
            }
            for key, value in keys.items():
                if value:
                    group = f"{key}_{value}".replace("-", "_").replace(".", "_")
                    groups.setdefault(group, {"hosts": []})["hosts"].append(name)
        token = page["metadata"].get("continue")
        if not token:
            break
    json.dump({"_meta": {"hostvars": hostvars}, **groups}, sys.stdout)


if __name__ == "__main__":
    task, *words = sys.argv[1:]
    if task == "seed":
        seed(words[0], words[1], int(words[2]))
    elif task == "raw":
        raw(*words)
    else:
        inventory(*words)
