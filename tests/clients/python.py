"""The Python client against whatever server a kubeconfig names, as scripts and Ansible use it.

    python.py KUBECONFIG

Makes a definition and a namespace of its own and deletes them again.
"""

import os
import secrets
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone

from kubernetes import client, config, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

ID = secrets.token_hex(4)
NAMESPACE = f"python-{ID}"
GROUP = f"p{ID}.clients.inv-tui.dev"
PATIENCE = 60  # seconds
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


def definition():
    text = {"type": "string"}
    nic = {"type": "object", "required": ["name"], "properties": {"name": text, "mac": text}}
    nics = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": nic,
    }
    region = {"type": "string", "enum": ["eu", "us"]}
    cpu = {"type": "integer", "minimum": 1}
    spec = {
        "type": "object",
        "required": ["region"],
        "properties": {"region": region, "cpu": cpu, "nics": nics},
    }
    status = {"type": "object", "properties": {"phase": text}}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"kind": "Box", "plural": "boxes", "singular": "box"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"boxes.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def box(name, **spec):
    spec = {"region": "eu", **spec}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Box",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": spec,
    }


def refused(status, reason, call):
    """The call must fail with this code and reason."""
    try:
        call()
    except ApiException as error:
        assert error.status == status, error
        assert reason in error.body, error
        return
    raise AssertionError(f"not refused: {status} {reason}")


def established(api):
    """Waits until the server says that the definition is in force."""
    name = f"boxes.{GROUP}"
    changes = watch.Watch()
    for event in changes.stream(
        api.list_custom_resource_definition,
        field_selector=f"metadata.name={name}",
        timeout_seconds=PATIENCE,
    ):
        conditions = event["object"].status.conditions or []
        if any(c.type == "Established" and c.status == "True" for c in conditions):
            changes.stop()
            return
    raise AssertionError("the definition is not established")


def served(custom):
    """Asks until the kind is there: a server may serve it a moment after it has said so, and nothing
    tells when. Each request is its own pause; 429 is the server's way to say that it is too soon."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return custom.list_namespaced_custom_object(GROUP, "v1", NAMESPACE, "boxes")
        except ApiException as error:
            assert error.status in (404, 429), error
            assert time.monotonic() < deadline, "the kind is not served"


def versions():
    info = client.VersionApi().get_code()
    assert info.major == "1" and info.git_version.startswith("v1."), info
    groups = {group.name for group in client.ApisApi().get_api_versions().groups}
    assert {"certificates.k8s.io", "coordination.k8s.io", "events.k8s.io"} <= groups, groups
    names = {resource.name for resource in client.CoreV1Api().get_api_resources().resources}
    assert {"namespaces", "configmaps", "secrets", "events"} <= names, names


def definitions():
    api = client.ApiextensionsV1Api()
    api.create_custom_resource_definition(definition())
    refused(409, "AlreadyExists", lambda: api.create_custom_resource_definition(definition()))

    established(api)
    served(client.CustomObjectsApi())
    names = [item.metadata.name for item in api.list_custom_resource_definition().items]
    assert f"boxes.{GROUP}" in names, names


def custom_objects():
    api = client.CustomObjectsApi()
    place = (GROUP, "v1", NAMESPACE, "boxes")
    stored = api.create_namespaced_custom_object(*place, box("a", cpu=2))
    assert stored["metadata"]["generation"] == 1, stored
    refused(409, "AlreadyExists", lambda: api.create_namespaced_custom_object(*place, box("a")))
    refused(
        422, "spec.region", lambda: api.create_namespaced_custom_object(*place, box("b", region="x"))
    )
    dry = api.create_namespaced_custom_object(*place, box("dry"), dry_run="All")
    assert dry["metadata"]["uid"], dry
    got = api.get_namespaced_custom_object(*place, "a")
    assert got == stored, got
    refused(404, "NotFound", lambda: api.get_namespaced_custom_object(*place, "dry"))

    got = api.patch_namespaced_custom_object(*place, "a", {"spec": {"cpu": 3}})
    assert got["spec"]["cpu"] == 3, got
    patch = [{"op": "replace", "path": "/spec/cpu", "value": 4}]
    got = api.patch_namespaced_custom_object(*place, "a", patch, _content_type=JSON_PATCH)
    assert got["spec"]["cpu"] == 4, got
    got = api.patch_namespaced_custom_object_status(*place, "a", {"status": {"phase": "Running"}})
    assert got["status"]["phase"] == "Running", got
    assert api.get_namespaced_custom_object_status(*place, "a")["status"] == got["status"]

    old = dict(stored, spec={"region": "us"})
    refused(409, "Conflict", lambda: api.replace_namespaced_custom_object(*place, "a", old))
    fresh = dict(got, spec={"region": "us"})
    got = api.replace_namespaced_custom_object(*place, "a", fresh)
    assert got["spec"] == {"region": "us"}, got

    for number in range(5):
        api.create_namespaced_custom_object(*place, box(f"page-{number}"))
    names, token = [], None
    while True:
        page = api.list_namespaced_custom_object(*place, limit=2, _continue=token)
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            break
    assert names == ["a"] + [f"page-{number}" for number in range(5)], names
    found = api.list_namespaced_custom_object(*place, label_selector="app in (web)")
    assert len(found["items"]) == 6, found
    found = api.list_namespaced_custom_object(*place, field_selector="metadata.name=a")
    assert len(found["items"]) == 1, found
    everywhere = api.list_cluster_custom_object(GROUP, "v1", "boxes")
    assert len(everywhere["items"]) == 6, everywhere

    gone = api.delete_namespaced_custom_object(*place, "page-0")
    assert gone["status"] == "Success", gone
    options = client.V1DeleteOptions(propagation_policy="Background")
    api.delete_namespaced_custom_object(*place, "page-1", body=options)
    api.delete_collection_namespaced_custom_object(*place)
    assert api.list_namespaced_custom_object(*place)["items"] == []


def watches():
    api = client.CustomObjectsApi()
    place = (GROUP, "v1", NAMESPACE, "boxes")
    api.create_namespaced_custom_object(*place, box("seen"))
    began = threading.Event()

    def write():
        assert began.wait(PATIENCE)
        api.patch_namespaced_custom_object(*place, "seen", {"spec": {"cpu": 9}})
        api.delete_namespaced_custom_object(*place, "seen")

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    stream = watch.Watch()
    for event in stream.stream(api.list_namespaced_custom_object, *place, timeout_seconds=PATIENCE):
        seen.append((event["type"], event["object"]["metadata"]["name"]))
        began.set()
        if event["type"] == "DELETED":
            stream.stop()
    writer.join()
    assert seen == [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")], seen

    # The end of the time is the end of the loop.
    for event in watch.Watch().stream(api.list_namespaced_custom_object, *place, timeout_seconds=1):
        raise AssertionError(event)

    # Too old: an error that says 410, after which one lists again.
    try:
        stream = watch.Watch().stream(
            api.list_namespaced_custom_object, *place, resource_version="1", timeout_seconds=PATIENCE
        )
        events = list(stream)
        raise AssertionError(f"not too old: {events}")
    except ApiException as error:
        assert error.status == 410, error


def dynamic():
    api = DynamicClient(client.ApiClient())
    assert api.version["kubernetes"]["gitVersion"], api.version
    boxes = api.resources.get(api_version=f"{GROUP}/v1", kind="Box")
    assert boxes.namespaced and "status" in boxes.subresources, boxes
    made = boxes.create(body=box("d"), namespace=NAMESPACE)
    assert made.metadata.generation == 1, made
    # What the client sends unless told otherwise is not for custom kinds: Ansible falls back on 415.
    refused(
        415,
        "UnsupportedMediaType",
        lambda: boxes.patch(body={"spec": {"cpu": 2}}, name="d", namespace=NAMESPACE),
    )
    patched = boxes.patch(
        body={"spec": {"cpu": 2}}, name="d", namespace=NAMESPACE, content_type=MERGE
    )
    assert patched.spec.cpu == 2, patched
    status = boxes.status.patch(
        body={"status": {"phase": "Running"}}, name="d", namespace=NAMESPACE, content_type=MERGE
    )
    assert status.status.phase == "Running", status
    got = boxes.get(name="d", namespace=NAMESPACE).to_dict()
    got["spec"]["cpu"] = 3
    replaced = boxes.replace(body=got, namespace=NAMESPACE)
    assert replaced.spec.cpu == 3, replaced
    assert [item.metadata.name for item in boxes.get(namespace=NAMESPACE).items] == ["d"]

    # Server-side apply: two managers, a conflict, and who wins.
    first = box("s", cpu=1, nics=[{"name": "eth0", "mac": "aa"}])
    boxes.server_side_apply(body=first, name="s", namespace=NAMESPACE, field_manager="one")
    second = box("s", cpu=2)
    try:
        boxes.server_side_apply(body=second, name="s", namespace=NAMESPACE, field_manager="two")
        raise AssertionError("no conflict")
    except ConflictError as error:
        assert "FieldManagerConflict" in error.body, error.body
    won = boxes.server_side_apply(
        body=second, name="s", namespace=NAMESPACE, field_manager="two", force_conflicts=True
    )
    assert won.spec.cpu == 2 and won.spec.nics[0].mac == "aa", won

    seen = []
    for event in boxes.watch(namespace=NAMESPACE, timeout=PATIENCE):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            break
    assert sorted(seen) == [("ADDED", "d"), ("ADDED", "s")], seen
    boxes.delete(name="d", namespace=NAMESPACE)
    try:
        boxes.get(name="d", namespace=NAMESPACE)
        raise AssertionError("still there")
    except NotFoundError:
        pass
    boxes.delete(namespace=NAMESPACE, label_selector="app=web")
    assert boxes.get(namespace=NAMESPACE).items == []


def core():
    api = client.CoreV1Api()
    namespace = api.read_namespace(NAMESPACE)
    assert namespace.status.phase == "Active", namespace
    api.patch_namespace(NAMESPACE, {"metadata": {"labels": {"team": "a"}}})
    names = [item.metadata.name for item in api.list_namespace(label_selector="team=a").items]
    assert NAMESPACE in names, names

    settings = client.V1ConfigMap(metadata={"name": "settings"}, data={"key": "value"})
    api.create_namespaced_config_map(NAMESPACE, settings)
    # Strategic merge, as this client sends to built-in kinds.
    got = api.patch_namespaced_config_map("settings", NAMESPACE, {"data": {"other": "x"}})
    assert got.data == {"key": "value", "other": "x"}, got
    got.data = {"only": "this"}
    assert api.replace_namespaced_config_map("settings", NAMESPACE, got).data == {"only": "this"}
    login = client.V1Secret(metadata={"name": "login"}, string_data={"password": "geheim"})
    assert api.create_namespaced_secret(NAMESPACE, login).data == {"password": "Z2VoZWlt"}
    assert [s.metadata.name for s in api.list_namespaced_secret(NAMESPACE).items] == ["login"]

    now = datetime.now(timezone.utc)
    about = client.V1ObjectReference(
        api_version=f"{GROUP}/v1", kind="Box", namespace=NAMESPACE, name="a", uid="1"
    )
    old = client.CoreV1Event(
        metadata=client.V1ObjectMeta(name="a.1"),
        involved_object=about,
        reason="Tested",
        message="from core",
        type="Normal",
        count=1,
        first_timestamp=now,
        last_timestamp=now,
    )
    api.create_namespaced_event(NAMESPACE, old)
    new = client.EventsV1Event(
        metadata=client.V1ObjectMeta(name="a.2"),
        event_time=now,
        action="Testing",
        reason="Tested",
        note="from events.k8s.io",
        type="Warning",
        regarding=about,
        reporting_controller="python",
        reporting_instance="here",
    )
    client.EventsV1Api().create_namespaced_event(NAMESPACE, new)
    messages = {item.message for item in api.list_namespaced_event(NAMESPACE).items}
    assert messages == {"from core", "from events.k8s.io"}, messages
    selector = "involvedObject.name=a,type=Warning"
    found = api.list_namespaced_event(NAMESPACE, field_selector=selector).items
    assert [item.metadata.name for item in found] == ["a.2"], found


def leases():
    api = client.CoordinationV1Api()
    now = datetime.now(timezone.utc)
    spec = client.V1LeaseSpec(holder_identity="me", lease_duration_seconds=15, renew_time=now)
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name="lock"), spec=spec)
    stored = api.create_namespaced_lease(NAMESPACE, lease)
    stored.spec.holder_identity = "another"
    taken = api.replace_namespaced_lease("lock", NAMESPACE, stored)
    assert taken.spec.holder_identity == "another", taken
    refused(409, "Conflict", lambda: api.replace_namespaced_lease("lock", NAMESPACE, stored))


def access():
    attributes = client.V1ResourceAttributes(verb="create", group=GROUP, resource="boxes")
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    )
    answer = client.AuthorizationV1Api().create_self_subject_access_review(review)
    assert answer.status.allowed, answer
    answer = client.AuthenticationV1Api().create_self_subject_review(client.V1SelfSubjectReview())
    assert answer.status.user_info.username, answer


def from_yaml():
    text = f"""\
apiVersion: v1
kind: ConfigMap
metadata: {{name: from-yaml, namespace: {NAMESPACE}}}
data: {{key: value}}
---
apiVersion: v1
kind: Secret
metadata: {{name: from-yaml, namespace: {NAMESPACE}}}
stringData: {{key: value}}
"""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        utils.create_from_yaml(client.ApiClient(), file.name)
    core = client.CoreV1Api()
    assert core.read_namespaced_config_map("from-yaml", NAMESPACE).data == {"key": "value"}


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    # Discovery is kept on disk in the folder for temporary files.
    folder = tempfile.TemporaryDirectory(prefix="inv-tui-python.")
    tempfile.tempdir = folder.name
    os.environ.pop("KUBECONFIG", None)
    config.load_kube_config(config_file=sys.argv[1])
    core_api = client.CoreV1Api()
    try:
        core_api.create_namespace(client.V1Namespace(metadata={"name": NAMESPACE}))
        for step in (
            versions, definitions, custom_objects, watches, dynamic, core, leases, access, from_yaml,
        ):
            print(f"python: {step.__name__}", flush=True)
            step()
    finally:
        for remove in (
            lambda: client.ApiextensionsV1Api().delete_custom_resource_definition(f"boxes.{GROUP}"),
            lambda: core_api.delete_namespace(NAMESPACE),
        ):
            try:
                remove()
            except ApiException as error:
                print(f"python: not cleaned up: {error.status}", file=sys.stderr)
    print("python: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
