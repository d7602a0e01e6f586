//! kube-rs' own runtime, which inv-tui stands on. The one module with a client library.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta,
    PartialObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::config::KubeConfigOptions;
use kube::discovery::Discovery;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as Finalizer, finalizer};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, Config, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::client::PATIENCE;
use crate::world::{Case, case};

async fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = std::env::var("INV_TUI_TEST_KUBECONFIG").expect("a kubeconfig");
    let kubeconfig = kube::config::Kubeconfig::read_from(file).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a kubeconfig")).expect("a client")
}

fn widget(t: &Case) -> ApiResource {
    let kind = GroupVersionKind::gvk(&t.group, "v1", "Widget");
    ApiResource::from_gvk_with_plural(&kind, "widgets")
}

async fn widgets(t: &Case) -> Api<DynamicObject> {
    Api::namespaced_with(client().await, &t.ns, &widget(t))
}

fn new(t: &Case, name: &str) -> DynamicObject {
    serde_json::from_value(t.new_widget(name)).unwrap()
}

/// A store, and word of each change that its reflector has written into it.
struct Reflected {
    store: Store<DynamicObject>,
    changes: watch::Receiver<()>,
}

impl Reflected {
    /// Waits until this holds for what the store has.
    async fn holds(&mut self, what: &str, check: impl Fn(&[Arc<DynamicObject>]) -> bool) {
        let store = &self.store;
        let waited = timeout(PATIENCE, self.changes.wait_for(|()| check(&store.state()))).await;
        assert!(matches!(waited, Ok(Ok(_))), "not {what}: {:?}", store.state());
    }
}

/// Reflects these objects: the store, and what has to run for it.
fn reflected(
    api: Api<DynamicObject>,
    kind: ApiResource,
    config: watcher::Config,
) -> (Reflected, impl Future<Output = Result<(), watcher::Error>>) {
    let writer = reflector::store::Writer::new(kind);
    let store = writer.as_reader();
    let (told, changes) = watch::channel(());
    let stream = reflector(writer, watcher(api, config)).touched_objects();
    let run = async move {
        stream
            .try_for_each(async |_| {
                told.send_replace(());
                Ok(())
            })
            .await
    };
    (Reflected { store, changes }, run)
}

/// An operator: a finalizer, a status, and work to do before an object may go.
#[test]
fn a_controller_with_a_finalizer() {
    case(async |t| {
        let api = widgets(&t).await;
        let maps: Api<ConfigMap> = Api::namespaced(client().await, &t.ns);
        let context = Arc::new((api.clone(), maps.clone()));
        let reconcile =
            async |object: Arc<DynamicObject>,
                   context: Arc<(Api<DynamicObject>, Api<ConfigMap>)>| {
                let (api, maps) = (&context.0, &context.1);
                finalizer(api, "conformance.inv-tui.dev/cleanup", object, async |event| {
                match event {
                    Finalizer::Apply(object) => {
                        let types = object.types.clone().unwrap();
                        let status = json!({
                            "apiVersion": types.api_version,
                            "kind": types.kind,
                            "status": {"phase": "Running", "observedGeneration": object.metadata.generation},
                        });
                        let params = PatchParams::apply("conformance-controller").force();
                        api.patch_status(&object.name_any(), &params, &Patch::Apply(status)).await?;
                    }
                    Finalizer::Cleanup(object) => {
                        let map = ConfigMap {
                            metadata: ObjectMeta {
                                name: Some(format!("cleaned-{}", object.name_any())),
                                ..ObjectMeta::default()
                            },
                            ..ConfigMap::default()
                        };
                        maps.create(&PostParams::default(), &map).await?;
                    }
                }
                Ok::<_, kube::Error>(Action::await_change())
            })
            .await
            };
        let controller = Controller::new_with(api.clone(), watcher::Config::default(), widget(&t))
            .run(
                move |object, context| Box::pin(reconcile(object, context)),
                |_, error, _| {
                    eprintln!("reconcile: {error:?}");
                    Action::requeue(Duration::from_millis(100))
                },
                context,
            )
            .for_each(async |_| ());
        let work = async {
            for name in ["a", "b"] {
                api.create(&PostParams::default(), &new(&t, name)).await.unwrap();
            }
            for name in ["a", "b"] {
                let running =
                    t.until(&t.widget(name), |a| a.json["status"]["phase"] == "Running").await;
                let finalizers = &running.json["metadata"]["finalizers"];
                assert_eq!(*finalizers, json!(["conformance.inv-tui.dev/cleanup"]));
            }
            let patch = Patch::Merge(json!({"spec": {"cpu": 9}}));
            api.patch("a", &PatchParams::default(), &patch).await.unwrap();
            t.until(&t.widget("a"), |a| a.json["status"]["observedGeneration"] == 2).await;
            let left = api.delete("a", &DeleteParams::default()).await.unwrap();
            assert!(left.left().unwrap().metadata.deletion_timestamp.is_some());
            t.until(&t.widget("a"), |a| a.status == 404).await;
            maps.get("cleaned-a").await.unwrap();
            api.delete("b", &DeleteParams::default()).await.unwrap();
            t.until(&t.widget("b"), |a| a.status == 404).await;
        };
        tokio::select! {
            () = controller => panic!("the controller ended"),
            () = work => (),
        }
    });
}

async fn reflect(t: &Case, config: watcher::Config) {
    let api = widgets(t).await;
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &new(t, name)).await.unwrap();
    }
    let (mut reflected, reader) = reflected(api.clone(), widget(t), config);
    let store = reflected.store.clone();
    let work = async {
        timeout(PATIENCE, store.wait_until_ready()).await.unwrap().unwrap();
        let names: BTreeSet<_> = store.state().iter().map(|object| object.name_any()).collect();
        assert_eq!(names, ["a", "b", "c"].map(str::to_owned).into());
        let patch = Patch::Merge(json!({"spec": {"cpu": 9}}));
        api.patch("a", &PatchParams::default(), &patch).await.unwrap();
        let changed = ObjectRef::new_with("a", widget(t)).within(&t.ns);
        let cpu = || store.get(&changed).map(|object| object.data["spec"]["cpu"].clone());
        reflected.holds("changed", |_| cpu() == Some(json!(9))).await;
        api.delete("b", &DeleteParams::default()).await.unwrap();
        reflected.holds("deleted", |all| all.len() == 2).await;
        api.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
        reflected.holds("empty", <[_]>::is_empty).await;
    };
    tokio::select! {
        ended = reader => panic!("the watcher ended: {ended:?}"),
        () = work => (),
    }
}

#[test]
fn a_reflector_that_lists_and_watches() {
    case(async |t| reflect(&t, watcher::Config::default().page_size(2)).await);
}

#[test]
fn a_reflector_by_a_streaming_list() {
    case(async |t| reflect(&t, watcher::Config::default().streaming_lists()).await);
}

#[test]
fn a_reflector_of_a_selection() {
    case(async |t| {
        let api = widgets(&t).await;
        let mut marked = new(&t, "a");
        marked.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
        api.create(&PostParams::default(), &marked).await.unwrap();
        api.create(&PostParams::default(), &new(&t, "b")).await.unwrap();
        let config = watcher::Config::default().labels("app=web").fields("spec.region=eu-west");
        let (mut reflected, reader) = reflected(api.clone(), widget(&t), config);
        let work = async {
            timeout(PATIENCE, reflected.store.wait_until_ready()).await.unwrap().unwrap();
            assert_eq!(reflected.store.state().len(), 1);
            let patch = Patch::Merge(json!({"metadata": {"labels": {"app": "db"}}}));
            api.patch("a", &PatchParams::default(), &patch).await.unwrap();
            reflected.holds("empty", <[_]>::is_empty).await;
        };
        tokio::select! {
            ended = reader => panic!("the watcher ended: {ended:?}"),
            () = work => (),
        }
    });
}

#[test]
fn a_recorder_counts_repeats() {
    case(async |t| {
        let api = widgets(&t).await;
        let object = api.create(&PostParams::default(), &new(&t, "a")).await.unwrap();
        let reporter =
            Reporter { controller: "conformance".to_owned(), instance: Some("here".to_owned()) };
        let recorder = Recorder::new(client().await, reporter);
        let event = Event {
            type_: EventType::Warning,
            reason: "Tested".to_owned(),
            note: Some("a note".to_owned()),
            action: "Testing".to_owned(),
            secondary: None,
        };
        let reference = object.object_ref(&widget(&t));
        for _ in 0..3 {
            recorder.publish(&event, &reference).await.unwrap();
        }
        let list = t.get(&t.core("events")).await.is(200).json;
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{list}");
        assert_eq!(items[0]["involvedObject"]["uid"], json!(object.metadata.uid));
        assert_eq!(items[0]["message"], "a note");
        assert_eq!(items[0]["series"]["count"], 3);
    });
}

#[test]
fn a_lease_by_put() {
    case(async |t| {
        let api: Api<Lease> = Api::namespaced(client().await, &t.ns);
        let held = |holder: &str| LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(k8s_openapi::jiff::Timestamp::now())),
            ..LeaseSpec::default()
        };
        let lease = Lease {
            metadata: ObjectMeta { name: Some("lock".to_owned()), ..ObjectMeta::default() },
            spec: Some(held("one")),
        };
        let first = api.create(&PostParams::default(), &lease).await.unwrap();
        let again = api.create(&PostParams::default(), &lease).await.unwrap_err();
        assert!(matches!(again, kube::Error::Api(status) if status.is_already_exists()));
        // Two renew at once with what they read: one of them is late.
        let put = async |holder: &str| {
            let mut lease = first.clone();
            lease.spec = Some(held(holder));
            api.replace("lock", &PostParams::default(), &lease).await
        };
        let (one, two) = tokio::join!(put("one"), put("two"));
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        let current = api.get("lock").await.unwrap();
        assert_eq!(current.spec.unwrap().lease_duration_seconds, Some(15));
        let late = put("three").await.unwrap_err();
        assert!(matches!(late, kube::Error::Api(status) if status.is_conflict()));
    });
}

#[test]
fn metadata_only() {
    case(async |t| {
        let stored = t.create_with("a", json!({"labels": {"app": "web"}})).await;
        let api: Api<PartialObjectMeta<DynamicObject>> =
            Api::namespaced_with(client().await, &t.ns, &widget(&t));
        let one = api.get("a").await.unwrap();
        assert_eq!(one.metadata.uid.as_deref(), stored["metadata"]["uid"].as_str());
        let list = api.list(&ListParams::default()).await.unwrap();
        assert_eq!(list.items.len(), 1);
        let from = list.metadata.resource_version.unwrap();
        let mut watch = api.watch(&WatchParams::default(), &from).await.unwrap().boxed();
        t.create("b").await;
        match watch.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(object) => assert_eq!(object.name_any(), "b"),
            other => panic!("{other:?}"),
        }
        let patch = Patch::Merge(json!({"metadata": {"labels": {"app": "db"}}}));
        let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(patched.labels()["app"], "db");
    });
}

#[test]
fn discovery() {
    case(async |t| {
        let client = client().await;
        let kind = GroupVersionKind::gvk(&t.group, "v1", "Widget");
        let legacy = Discovery::new(client.clone()).filter(&[&t.group]).run().await.unwrap();
        let aggregated = Discovery::new(client.clone()).run_aggregated().await.unwrap();
        for found in [legacy, aggregated] {
            let (resource, capabilities) = found.resolve_gvk(&kind).unwrap();
            assert_eq!(resource.plural, "widgets");
            assert!(capabilities.supports_operation("watch"));
            assert_eq!(capabilities.subresources.len(), 1);
        }
        let version = client.apiserver_version().await.unwrap();
        assert_eq!(version.major, "1");
    });
}

#[test]
fn conditions_are_awaited() {
    case(async |t| {
        let client = client().await;
        let definitions: Api<CustomResourceDefinition> = Api::all(client);
        let name = format!("widgets.{}", t.group);
        let established = await_condition(definitions, &name, conditions::is_crd_established());
        timeout(PATIENCE, established).await.unwrap().unwrap();
        let api = widgets(&t).await;
        let stored = api.create(&PostParams::default(), &new(&t, "a")).await.unwrap();
        let uid = stored.uid().unwrap();
        let gone = await_condition(api.clone(), "a", conditions::is_deleted(&uid));
        let delete = async {
            let deleted = api.delete("a", &DeleteParams::default()).await.unwrap();
            assert!(deleted.is_right(), "a Status");
        };
        let (gone, ()) = tokio::join!(timeout(PATIENCE, gone), delete);
        gone.unwrap().unwrap();
        let error = api.get("a").await.unwrap_err();
        assert!(matches!(error, kube::Error::Api(status) if status.is_not_found()));
    });
}
