//! Who may do what: the same questions to a real control plane with `deploy/*.yaml` and to the
//! embedded server.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, PostParams};

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_test_is_who_it_says() {
    let Some(world) = World::begin("access-who").await else { return };
    let client = world.client_as("ann@example.com", &["inv:viewers", "inv:approvers"]).await;
    let api: Api<SelfSubjectReview> = Api::all(client);
    let answer = api.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    let user = answer.status.unwrap().user_info.unwrap();
    assert_eq!(user.username.as_deref(), Some("ann@example.com"));
    let groups = user.groups.unwrap();
    for group in ["inv:viewers", "inv:approvers"] {
        assert!(groups.iter().any(|g| g == group), "{groups:?}");
    }
    world.end().await;
}
