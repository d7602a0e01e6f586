//! How an object is made, and the one way to change a Host: read it, say how it should be, send the
//! difference as a merge patch against the version that was read. Whoever was faster makes it begin again.

use std::fmt::Debug;
use std::time::Duration;

use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Error, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::model::host::{Host, HostSpec, HostStatus};
use crate::store::client::{DEADLINE, explain};

/// How often a change begins again when somebody else was faster.
const TRIES: usize = 5;
/// How often a request is tried that meets a server in trouble.
const ATTEMPTS: u32 = 6;

/// Which part of an object a writer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Metadata and spec.
    Object,
    /// The status subresource.
    Status,
}

#[derive(Serialize)]
struct Object<'a> {
    metadata: &'a ObjectMeta,
    spec: &'a HostSpec,
}

#[derive(Serialize)]
struct Status<'a> {
    status: Option<&'a HostStatus>,
}

/// Changes one part of a Host as `edit` says. A host that is gone is left in peace, and a change
/// that changes nothing sends nothing.
pub(super) async fn change(
    hosts: &Api<Host>,
    name: &str,
    manager: &str,
    part: Part,
    edit: impl Fn(&mut Host),
) -> kube::Result<()> {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let mut tries = 0;
    loop {
        let Some(host) = within(hosts.get_opt(name)).await? else { return Ok(()) };
        let mut wanted = host.clone();
        edit(&mut wanted);
        let Some(mut patch) = difference(&host, &wanted, part)? else { return Ok(()) };
        let version = json!({"metadata": {"resourceVersion": host.metadata.resource_version}});
        json_patch::merge(&mut patch, &version);
        let patch = Patch::Merge(patch);
        let sent = match part {
            Part::Object => within(hosts.patch(name, &params, &patch)).await,
            Part::Status => within(hosts.patch_status(name, &params, &patch)).await,
        };
        tries += 1;
        match sent {
            Err(Error::Api(status)) if status.is_conflict() && tries < TRIES => {}
            Err(Error::Api(status)) if status.is_not_found() => return Ok(()),
            other => return other.map(|_| ()),
        }
    }
}

/// The merge patch of one part; none: nothing differs.
fn difference(old: &Host, new: &Host, part: Part) -> kube::Result<Option<Value>> {
    let body = |host: &Host| match part {
        Part::Object => serde_json::to_value(Object { metadata: &host.metadata, spec: &host.spec }),
        Part::Status => serde_json::to_value(Status { status: host.status.as_ref() }),
    };
    let (old, new) = (body(old).map_err(Error::SerdeError)?, body(new).map_err(Error::SerdeError)?);
    Ok(merge_patch(&old, &new))
}

/// The JSON merge patch (RFC 7386) that makes `new` of `old`; none: they are equal. The depth is
/// that of our own types.
fn merge_patch(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Some(new.clone()) };
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|k| (k.clone(), Value::Null));
    let changed = new.iter().filter_map(|(key, value)| {
        let before = old.get(key);
        Some((key.clone(), before.map_or_else(|| Some(value.clone()), |b| merge_patch(b, value))?))
    });
    Some(Value::Object(gone.chain(changed).collect::<Map<_, _>>()))
}

/// A request with a deadline.
pub(super) async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(answer) => answer,
        Err(cause) => Err(Error::Service(Box::new(cause))),
    }
}

/// Sends a request until it is answered, with a growing pause after each failure that may pass.
pub(super) async fn persist<T, F>(request: impl FnMut() -> F) -> kube::Result<T>
where
    F: Future<Output = kube::Result<T>>,
{
    attempt(request, Duration::from_millis(50)).await
}

async fn attempt<T, F>(mut request: impl FnMut() -> F, mut pause: Duration) -> kube::Result<T>
where
    F: Future<Output = kube::Result<T>>,
{
    for _ in 1..ATTEMPTS {
        match within(request()).await {
            Err(Error::Api(status)) if status.code < 500 && status.code != 429 => {
                return Err(Error::Api(status));
            }
            Err(cause) => tracing::debug!(%cause, "the demo tries again"),
            done => return done,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    within(request()).await
}

/// Creates an object; false: it was there already.
pub(super) async fn create<K>(api: &Api<K>, object: &K, manager: &str) -> Result<bool>
where
    K: kube::Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
    let made = or_there(persist(|| api.create(&params, object)).await);
    made.map(|object| object.is_some())
        .map_err(|cause| explain(format!("cannot make \"{}\"", object.name_any()), "create", cause))
}

/// Leaves an object alone that is there already.
fn or_there<T>(made: kube::Result<T>) -> kube::Result<Option<T>> {
    match made {
        Ok(object) => Ok(Some(object)),
        Err(Error::Api(status)) if status.is_already_exists() => Ok(None),
        Err(cause) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    use futures::future::BoxFuture;
    use http::{Request, Response};
    use kube::client::Body;
    use tower_service::Service;

    use super::*;
    use crate::model::sample;

    #[test]
    fn the_patch_has_only_what_differs_and_removes_what_is_gone() {
        let old = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": {"g": 1}});
        let new = json!({"a": 1, "b": {"c": 1, "d": 3}, "e": [1, 2], "h": {"i": 1}});
        let patch = json!({"b": {"d": 3}, "e": [1, 2], "f": null, "h": {"i": 1}});
        assert_eq!(merge_patch(&old, &new), Some(patch.clone()));
        let mut merged = old;
        json_patch::merge(&mut merged, &patch);
        assert_eq!(merged, new);
        assert_eq!(merge_patch(&new, &new), None);
    }

    #[test]
    fn each_part_has_its_own_patch() {
        let old = sample::host(3, "2026-01-01T00:00:00Z".parse().unwrap());
        let mut new = old.clone();
        new.spec.paused = true;
        new.status.as_mut().unwrap().phase = None;
        let patch = |part| difference(&old, &new, part).unwrap().unwrap();
        assert_eq!(patch(Part::Object), json!({"spec": {"paused": true}}));
        assert_eq!(patch(Part::Status), json!({"status": {"phase": null}}));
    }

    /// A server that gives these answers, one after the other, and keeps what it was sent.
    #[derive(Clone, Default)]
    struct Script {
        answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
        sent: Arc<Mutex<Vec<(String, Value)>>>,
    }

    impl Script {
        fn hosts(&self, answers: impl IntoIterator<Item = (u16, Value)>) -> Api<Host> {
            self.answers.lock().unwrap().extend(answers);
            Api::namespaced(kube::Client::new(self.clone(), "n"), "n")
        }

        /// Method and path, and the body where there is one.
        fn sent(&self) -> Vec<(String, Value)> {
            std::mem::take(&mut self.sent.lock().unwrap())
        }
    }

    impl Service<Request<Body>> for Script {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let script = self.clone();
            Box::pin(async move {
                let what = format!("{} {}", request.method(), request.uri());
                let body = request.into_body().collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                script.sent.lock().unwrap().push((what, body));
                let (code, body) = script.answers.lock().unwrap().pop_front().unwrap();
                let body = Body::from(body.to_string().into_bytes());
                Ok(Response::builder().status(code).body(body).unwrap())
            })
        }
    }

    fn host(version: &str) -> (u16, Value) {
        let host = json!({"metadata": {"name": "h", "resourceVersion": version}, "spec": {},
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host"});
        (200, host)
    }

    fn refused(code: u16, reason: &str) -> (u16, Value) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": ""});
        (code, status)
    }

    #[tokio::test]
    async fn whoever_was_faster_makes_it_begin_again() {
        let script = Script::default();
        let pause = |host: &mut Host| host.spec.paused = true;
        let conflict = || refused(409, "Conflict");
        let hosts = script.hosts([host("1"), conflict(), host("2"), host("3")]);
        change(&hosts, "h", "me", Part::Object, pause).await.unwrap();
        let path = "/apis/inventory.inv-tui.dev/v1alpha1/namespaces/n/hosts/h";
        let changes = |version| {
            let body = json!({"metadata": {"resourceVersion": version}, "spec": {"paused": true}});
            (format!("PATCH {path}?&fieldManager=me"), body)
        };
        let get = || (format!("GET {path}"), Value::Null);
        assert_eq!(script.sent(), [get(), changes("1"), get(), changes("2")]);

        let always = (0..TRIES).flat_map(|_| [host("1"), conflict()]);
        let hosts = script.hosts(always);
        assert!(change(&hosts, "h", "me", Part::Object, pause).await.is_err());
        assert_eq!(script.sent().len(), 2 * TRIES);
    }

    #[tokio::test]
    async fn nothing_is_sent_for_nothing_and_a_host_that_is_gone_is_left_in_peace() {
        let script = Script::default();
        let gone = || refused(404, "NotFound");
        let hosts = script.hosts([host("1"), gone(), host("1"), gone()]);
        change(&hosts, "h", "me", Part::Object, |_| ()).await.unwrap();
        change(&hosts, "h", "me", Part::Object, |_| ()).await.unwrap();
        assert_eq!(script.sent().len(), 2);
        let fill = |host: &mut Host| host.status = Some(HostStatus::default());
        change(&hosts, "h", "me", Part::Status, fill).await.unwrap();
        let sent = script.sent();
        assert!(sent[1].0.contains("/hosts/h/status?"), "{sent:?}");
    }

    fn answer(code: u16) -> Error {
        let status = kube::core::Status { code, ..Default::default() };
        Error::Api(Box::new(status))
    }

    #[tokio::test]
    async fn a_server_in_trouble_is_asked_again_and_a_refusal_is_final() {
        for (code, failures, asked, fine) in
            [(503, 3, 4, true), (403, 9, 1, false), (429, 9, ATTEMPTS, false), (500, 1, 2, true)]
        {
            let times = AtomicU32::new(0);
            let request = || async {
                let done = times.fetch_add(1, Ordering::SeqCst) >= failures;
                if done { Ok(()) } else { Err(answer(code)) }
            };
            assert_eq!(attempt(request, Duration::ZERO).await.is_ok(), fine, "{code}");
            assert_eq!(times.into_inner(), asked, "{code}");
        }
    }
}
