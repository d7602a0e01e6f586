//! A row as it is kept on disk: an object with what a row needs, which reads back into a row that
//! looks the same. Of the object's version nothing is kept, so that whatever the server lists takes
//! its place; of runs neither their texts nor their ids are, for nobody knows what a playbook says.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{HostRow, RowRun};
use crate::model::host::ServiceState;
use crate::model::{condition, labels};

impl HostRow {
    /// The object, with these labels.
    pub fn to_kept<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
        let labels: Map<String, Value> =
            labels.map(|(key, value)| (key.to_owned(), value.into())).collect();
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut metadata = json!({
            "name": self.name(),
            "namespace": self.namespace(),
            "uid": self.uid().as_str(),
            "labels": labels,
        });
        put(&mut metadata, "creationTimestamp", time(self.created()));
        if self.is_deleting() {
            // When it began is not known any more; that it began is what counts.
            put(
                &mut metadata,
                "deletionTimestamp",
                time(self.created().or(Some(Timestamp::UNIX_EPOCH))),
            );
        }
        if self.display() != self.name() {
            let display = json!({ labels::DISPLAY_NAME: self.display() });
            put(&mut metadata, "annotations", Some(display));
        }
        let mut spec = json!({});
        put(&mut spec, "providerID", self.provider_id());
        for (key, value) in [
            ("cluster", self.cluster()),
            ("role", self.role()),
            ("team", self.team()),
            ("environment", self.environment()),
        ] {
            put(&mut spec, key, text(value));
        }
        if self.service_state() != ServiceState::InService {
            put(&mut spec, "serviceState", Some(self.service_state().as_str()));
        }
        let holds: Map<String, Value> = self
            .holds()
            .iter()
            .map(|hold| {
                let exact = serde_json::to_value(&*hold.exact).unwrap_or_default();
                (hold.holder.to_string(), exact)
            })
            .collect();
        if !holds.is_empty() {
            put(&mut spec, "maintenance", Some(holds));
        }
        let mut status = json!({ "phase": self.base_phase().as_str() });
        if let Some(address) = self.address() {
            put(
                &mut status,
                "addresses",
                Some(json!([{ "type": "InternalIP", "address": address }])),
            );
        }
        put(&mut status, "launchTime", time(self.launched.get()));
        let conditions = self.kept_conditions();
        if !conditions.is_empty() {
            put(&mut status, "conditions", Some(conditions));
        }
        if self.is_listed_as_running() {
            put(&mut status, "sources", Some(json!({ "": { "state": "Running" } })));
        }
        if let Some(state) = self.last_run {
            let times = self.run().filter(|run| run.state() == state);
            let mut ansible = json!({ "state": state.as_str() });
            put(&mut ansible, "startedAt", time(times.and_then(RowRun::started)));
            put(&mut ansible, "finishedAt", time(times.and_then(RowRun::finished)));
            put(&mut status, "ansible", Some(ansible));
        }
        json!({ "metadata": metadata, "spec": spec, "status": status })
    }

    fn kept_conditions(&self) -> Vec<Value> {
        let since = self.changed().map(|time| time.to_string());
        let reason = |type_: &str| if type_ == condition::READY { self.ready_reason() } else { "" };
        [
            (condition::READY, self.ready),
            (condition::SEEN, self.seen),
            (condition::PROVIDER_HEALTHY, self.provider_healthy),
            (condition::AGENT_READY, self.agent_ready),
        ]
        .into_iter()
        .filter(|(type_, status)| status.is_some() || !reason(type_).is_empty())
        .map(|(type_, status)| {
            let status = match status {
                Some(true) => condition::TRUE,
                Some(false) => condition::FALSE,
                None => "Unknown",
            };
            let mut said = json!({ "type": type_, "status": status, "reason": reason(type_) });
            put(&mut said, "lastTransitionTime", since.clone());
            said
        })
        .collect()
    }
}

/// Puts a value in, if there is one.
fn put<T: Into<Value>>(object: &mut Value, key: &str, value: Option<T>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(key.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::inventory::Inventory;
    use crate::model::record::HostRecord;
    use crate::model::sample;

    #[test]
    fn what_is_kept_looks_the_same() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let (mut fleet, mut again) = (Inventory::new(), Inventory::new());
        for host in sample::fleet(2_000, now) {
            fleet.apply(HostRecord::from(&host), now);
        }
        for row in fleet.rows() {
            let line = row.to_kept(fleet.labels(row)).to_string();
            let record: HostRecord = serde_json::from_str(&line).unwrap();
            assert_eq!(record.problem, None, "{line}");
            again.apply(record, now);
        }
        assert_eq!(again.len(), fleet.len());
        for row in fleet.rows() {
            let kept = again.get(row.uid()).unwrap();
            let shown = |row: &HostRow| {
                (
                    (row.display().to_owned(), row.phase(), row.health(), row.trouble()),
                    (row.created(), row.launched(), row.address().map(ToOwned::to_owned)),
                    (row.service_state(), row.holds().to_vec(), row.region().to_owned()),
                    (row.cluster().to_owned(), row.role().to_owned(), row.provider().to_owned()),
                    row.run_state(),
                )
            };
            assert_eq!(shown(kept), shown(row));
            let labels = |inventory: &Inventory, row: &HostRow| -> Vec<(String, String)> {
                inventory.labels(row).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
            };
            assert_eq!(labels(&again, kept), labels(&fleet, row));
            assert_eq!(kept.resource_version(), "");
        }
    }
}
