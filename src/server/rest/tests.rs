use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::server::Server;
use crate::server::auth::User;

/// More objects than are looked at in one go.
#[tokio::test]
async fn the_few_among_many_that_are_asked_for_are_found() {
    let server = Server::in_memory(None).await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client(User::owner(), "default"));
    for n in 0..2100 {
        let labels = if n % 1050 == 1049 { json!({"rare": "yes"}) } else { json!({}) };
        let map = json!({"metadata": {"name": format!("map-{n:04}"), "labels": labels}});
        maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    }
    let wanted = ["map-1049", "map-2099"];
    let rare = ListParams::default().labels("rare");
    for params in [
        rare.clone(),
        rare.clone().limit(10),
        ListParams::default().fields("metadata.name!=map-0000").labels("rare"),
    ] {
        let found = maps.list(&params).await.unwrap();
        assert_eq!(found.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), wanted);
        assert_eq!(found.metadata.continue_, None);
    }
    let first = maps.list(&rare.clone().limit(1)).await.unwrap();
    assert_eq!(first.items[0].name_any(), wanted[0]);
    let second = rare.limit(1).continue_token(&first.metadata.continue_.unwrap());
    assert_eq!(maps.list(&second).await.unwrap().items[0].name_any(), wanted[1]);
    assert!(maps.list(&ListParams::default().labels("none")).await.unwrap().items.is_empty());

    let params = WatchParams::default().labels("rare").disable_bookmarks();
    let seen = maps.watch(&params, "0").await.unwrap().try_collect::<Vec<_>>();
    server.close();
    let seen: Vec<String> = seen
        .await
        .unwrap()
        .iter()
        .map(|event| match event {
            WatchEvent::Added(map) => map.name_any(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seen, wanted);
}
