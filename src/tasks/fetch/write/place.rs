//! Where a machine that this source does not have yet is written: into the Host of another source, or
//! of a person, if it is clearly the same machine, else into one of its own. The rules are in
//! [`crate::model::identity`].

use serde_json::{Value, json};

use super::super::diff::{Kind, Paper};
use super::{TRIES, Writer, envelope};
use crate::error::{Error, Result};
use crate::model::diff::{Part, StoredHost, at};
use crate::model::identity::{Claims, Fingerprint, Match, Relation, choose};
use crate::providers::Observed;
use crate::store::client::explain;
use crate::store::hosts::{Known, Selection};

/// Where a machine is written.
pub(super) struct Place {
    /// Name of the Host.
    pub(super) name: String,
    /// What stands there; none if it is to be made.
    pub(super) known: Option<Known>,
}

/// The keys of the identity of a machine, as its provider knows them.
pub(super) fn fingerprint(host: &Observed) -> Fingerprint {
    let hardware = &host.hardware;
    Fingerprint::of(&Claims {
        provider_ids: vec![&host.provider_id],
        uuid: hardware.uuid.as_deref(),
        vendor: hardware.vendor.as_deref(),
        serial: hardware.serial.as_deref(),
        macs: hardware.macs.iter().map(String::as_str).collect(),
    })
}

/// The error of a name that is another machine's.
pub(super) fn belongs(name: &str, other: &str) -> Error {
    Error::new(format!("host \"{name}\" belongs to source \"{other}\"")).hint(
        "nothing says that it is the same machine; if it is, give both sources a key that says so \
         (providerID, hardware UUID, vendor and serial number, MAC address), else another id",
    )
}

impl Writer {
    /// Finds the place of a machine. Whoever asks holds the turn for it.
    ///
    /// # Errors
    /// The server does not answer, or the name is another machine's.
    pub(super) async fn place(&self, host: &Observed, print: &Fingerprint) -> Result<Place> {
        if let Match::One(name, rank) = choose(self.hosts.similar(print))
            && let Some(live) = self.get(&name).await?
            && live.metadata.deletion_timestamp.is_none()
            && self.is_the_same(&live, host, print)
        {
            let source = &self.hosts.selection().source;
            tracing::info!(source, host = &*name, key = rank.as_str(), "the machine is known");
            return Ok(Place { name: name.to_string(), known: Some(self.hosts.read(&live)) });
        }
        let relation = self.hosts.fleet().relation(&host.name, print);
        let name = match (&host.other_name, relation) {
            (Some(other), Some(Relation::Different(_))) => other,
            (None, Some(Relation::Different(rank))) => {
                return Err(Error::new(format!(
                    "host \"{}\" is another machine: its {} differs",
                    host.name,
                    rank.as_str()
                ))
                .hint("give one of them another id"));
            }
            _ => &host.name,
        };
        Ok(Place { name: name.clone(), known: None })
    }

    /// Whether a stored host is this machine, and not another one of this source.
    pub(super) fn is_the_same(
        &self,
        live: &StoredHost,
        host: &Observed,
        print: &Fingerprint,
    ) -> bool {
        let facts = at(at(&live.status, "sources"), &self.hosts.selection().source);
        match at(facts, "uid").as_str() {
            Some(uid) => uid == host.uid,
            None => matches!(Fingerprint::stored(live).relation(print), Relation::Same(_)),
        }
    }

    /// The other hosts that may be the same machine.
    pub(super) fn twins(&self, name: &str, print: &Fingerprint) -> Vec<String> {
        let mut twins: Vec<String> = self
            .hosts
            .similar(print)
            .into_iter()
            .filter(|(other, _)| **other != *name)
            .map(|(other, _)| other.to_string())
            .collect();
        twins.sort_unstable();
        twins
    }

    /// Whether a host that goes by another source's word may not be this machine any more. Only the
    /// host itself can tell, because the index does not know who said what.
    pub(super) fn is_doubtful(&self, name: &str, known: &Known, print: &Fingerprint) -> bool {
        known.guest.is_some() && self.hosts.fleet().differs(name, print)
    }

    /// Whether what the others say of a host contradicts that it is this machine.
    ///
    /// # Errors
    /// The server does not answer.
    pub(super) async fn is_another(&self, name: &str, print: &Fingerprint) -> Result<bool> {
        let selection = self.hosts.selection();
        let live = self.get(name).await?;
        Ok(live.is_some_and(|live| {
            let others =
                Fingerprint::stored_by_others(&live, &selection.source, &selection.manager);
            matches!(others.relation(print), Relation::Different(_))
        }))
    }

    /// Takes back all that this source says of a host, which another source has.
    ///
    /// # Errors
    /// The server refuses it, or does not answer.
    pub(in crate::tasks::fetch) async fn leave(&self, name: &str) -> Result<()> {
        let outcome = async {
            let _permit = self.permits.acquire().await;
            match &self.paper {
                Some(paper) => self.leave_on_paper(paper, name).await,
                None => self.leave_now(name).await,
            }
        }
        .await;
        self.count(&outcome);
        outcome
    }

    /// What [`Self::leave_now`] would write.
    pub(super) async fn leave_on_paper(&self, paper: &Paper, name: &str) -> Result<()> {
        let Some(live) = self.get(name).await? else { return Ok(()) };
        let Selection { source, manager, .. } = self.hosts.selection();
        let bodies = (kept(&live.owned(manager, Part::Main)), json!({}));
        let bodies = (Some(&bodies.0), Some(&bodies.1));
        paper.write(source, manager, Kind::Changed, (name, Some(&live)), bodies);
        Ok(())
    }

    /// The object first, so that the label that says whose the host is goes before what it says.
    pub(super) async fn leave_now(&self, name: &str) -> Result<()> {
        let manager = &self.hosts.selection().manager;
        let what = format!("cannot leave host \"{name}\" to another source");
        'again: for _ in 0..TRIES {
            let Some(mut live) = self.get(name).await? else {
                self.hosts.forget(name);
                return Ok(());
            };
            let owned = live.owned(manager, Part::Main);
            let kept = kept(&owned);
            let parts = [
                (Part::Main, owned, kept),
                (Part::Status, live.owned(manager, Part::Status), json!({})),
            ];
            for (part, owned, kept) in parts {
                if owned == Value::Null || live.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let body = envelope(name, &kept, live.metadata.resource_version.as_deref());
                match self.apply(part, name, &body, true).await {
                    Ok((stored, _)) => live = stored,
                    Err(kube::Error::Api(status)) if status.is_conflict() => continue 'again,
                    Err(cause) => return Err(explain(what, "patch hosts", cause)),
                }
            }
            self.hosts.put(&live);
            return Ok(());
        }
        Err(Error::new(format!("{what}: others change it all the time")))
    }
}

/// What stays of `owned` when a source leaves a host: an id cannot be taken back, and a host without
/// a spec is none.
fn kept(owned: &Value) -> Value {
    let id = at(at(owned, "spec"), "providerID");
    json!({ "spec": if id.is_null() { json!({}) } else { json!({ "providerID": id }) } })
}
