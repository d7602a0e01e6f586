//! moto, one region for each test: moto is shared, and its regions know nothing of each other.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Credentials;
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};

/// A region of moto that belongs to one test.
pub(crate) struct Moto {
    pub(crate) url: String,
    pub(crate) region: &'static str,
    client: Client,
    image: String,
}

impl Moto {
    /// The region, without any running instance. None: skipped.
    pub(crate) async fn begin(region: &'static str) -> Option<Self> {
        static TAKEN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
        let url = super::needed("INV_TUI_TEST_MOTO")?;
        let alone = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).insert(region);
        assert!(alone, "{region} is the region of another test");
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region))
            .endpoint_url(&url)
            .http_client(http)
            .credentials_provider(Credentials::for_tests())
            .build();
        let client = Client::from_conf(config);
        let images = client.describe_images().send().await.unwrap();
        let image = images.images().iter().find_map(|image| image.image_id.clone());
        let this =
            Self { url, region, client, image: image.unwrap_or_else(|| "ami-12c6146b".to_owned()) };
        let old = this.running().await;
        if !old.is_empty() {
            this.terminate(&old).await;
        }
        Some(this)
    }

    /// Starts instances with these tags; gives their ids.
    pub(crate) async fn start(&self, count: usize, tags: &[(&str, &str)]) -> Vec<String> {
        let count = i32::try_from(count).unwrap();
        let tags = tags.iter().map(|(key, value)| tag(key, value)).collect::<Vec<_>>();
        let mut request = self
            .client
            .run_instances()
            .image_id(&self.image)
            .instance_type("m5.large".into())
            .min_count(count)
            .max_count(count);
        if !tags.is_empty() {
            request = request.tag_specifications(
                TagSpecification::builder()
                    .resource_type(ResourceType::Instance)
                    .set_tags(Some(tags))
                    .build(),
            );
        }
        let answer = request.send().await.unwrap();
        answer.instances().iter().map(|i| i.instance_id().unwrap().to_owned()).collect()
    }

    pub(crate) async fn tag(&self, ids: &[String], key: &str, value: &str) {
        let request = self.client.create_tags().set_resources(Some(ids.to_vec()));
        request.tags(tag(key, value)).send().await.unwrap();
    }

    pub(crate) async fn untag(&self, ids: &[String], key: &str) {
        let request = self.client.delete_tags().set_resources(Some(ids.to_vec()));
        request.tags(Tag::builder().key(key).build()).send().await.unwrap();
    }

    pub(crate) async fn stop(&self, ids: &[String]) {
        self.client.stop_instances().set_instance_ids(Some(ids.to_vec())).send().await.unwrap();
    }

    pub(crate) async fn terminate(&self, ids: &[String]) {
        self.client
            .terminate_instances()
            .set_instance_ids(Some(ids.to_vec()))
            .send()
            .await
            .unwrap();
    }

    async fn running(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut pages = self.client.describe_instances().into_paginator().send();
        while let Some(page) = pages.next().await {
            for reservation in page.unwrap().reservations() {
                let alive = |i: &&aws_sdk_ec2::types::Instance| {
                    i.state().and_then(|s| s.name()).is_none_or(|n| n.as_str() != "terminated")
                };
                let ids = reservation.instances().iter().filter(alive);
                found.extend(ids.filter_map(|i| i.instance_id.clone()));
            }
        }
        found
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The name of the Host of an instance.
pub(crate) fn name(id: &str) -> String {
    format!("aws-{id}")
}
