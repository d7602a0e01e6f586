//! From a record to a row, and what time alone changes in a row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::model::filter::{fold, is_folded};
use crate::model::host::{AddressType, Hold, Phase};
use crate::model::intern::{Interner, Symbol};
use crate::model::record::{HostRecord, StatusRecord};
use crate::model::{labels, text};

use super::{Built, Health, HostRow, KNOWN_BY, MAX_DISPLAY, Part, RowHold, RowRun, Seconds, Texts};

/// Most characters of a name, an address, an id or a message that are kept. The API allows none
/// that is longer; another server might.
pub(super) const MAX_TEXT: usize = 600;

impl HostRow {
    /// The row of this record as of `now`; none for an object with neither uid nor name. Its
    /// shared texts are counted in `interner` until [`HostRow::release`].
    #[expect(clippy::too_many_lines, reason = "one field after the other")]
    pub(crate) fn build(
        record: HostRecord,
        now: Timestamp,
        interner: &mut Interner,
    ) -> Option<Built> {
        let uid = record.uid()?;
        let texts = texts(&record, &uid);
        let HostRecord { metadata, spec, status, problem, .. } = record;
        let label = |key: &str| metadata.labels.as_ref()?.get(key).map(String::as_str);
        let mut shared = |field: Option<&str>, key: &str| {
            let own = field.filter(|text| !text.is_empty());
            interner.acquire(own.or_else(|| label(key)).unwrap_or_default())
        };
        let cluster = shared(spec.cluster.as_deref(), labels::CLUSTER);
        let role = shared(spec.role.as_deref(), labels::ROLE);
        let team = shared(spec.team.as_deref(), labels::TEAM);
        let environment = shared(spec.environment.as_deref(), labels::ENVIRONMENT);
        let region = shared(None, labels::REGION);
        let zone = shared(None, labels::ZONE);
        let provider_id = spec.provider_id.as_deref().unwrap_or_default();
        // `aws:///eu-west-1a/i-0abc` names its provider itself.
        let scheme = provider_id.split_once("://").map(|(scheme, _)| scheme);
        let provider = interner.acquire(label(labels::PROVIDER).or(scheme).unwrap_or_default());
        let namespace = interner.acquire(metadata.namespace.as_deref().unwrap_or_default());
        let conditions = &status.conditions;
        let ready_reason = conditions.ready.as_ref().and_then(|ready| ready.reason.as_deref());
        let ready_reason = interner.acquire(ready_reason.unwrap_or_default());
        let all = [
            &conditions.ready,
            &conditions.seen,
            &conditions.provider_healthy,
            &conditions.agent_ready,
        ];
        let holds = spec.maintenance.iter().filter_map(|(holder, hold)| {
            let (since, until) = (hold.since.unwrap_or(Timestamp::MIN), hold.until?);
            let reason = hold.reason.clone().unwrap_or_default();
            Some(RowHold {
                holder: fit(holder, MAX_TEXT).into(),
                reason: fit(&reason, MAX_TEXT).into(),
                since,
                until,
                exact: Box::new(Hold {
                    reason,
                    since: Time(since),
                    until: Time(until),
                    ticket: hold.ticket.clone(),
                    mode: hold.mode.unwrap_or_default(),
                }),
            })
        });
        let labels = metadata.labels.as_ref();
        let fields = [
            (labels::CLUSTER, &cluster),
            (labels::ROLE, &role),
            (labels::TEAM, &team),
            (labels::ENVIRONMENT, &environment),
            (labels::PROVIDER, &provider),
        ];
        let unmirrored: Vec<(&str, &str)> = fields
            .into_iter()
            .map(|(key, atom)| (key, atom.raw()))
            .filter(|(key, text)| !text.is_empty() && label(key) != Some(text))
            .collect();
        let own = labels.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
        let sources = status.sources.keys().map(String::as_str);
        let guests = sources
            .filter(|name| label(labels::SOURCE) != Some(*name))
            .map(|name| (KNOWN_BY, name));
        let pairs = own
            .chain(unmirrored)
            .chain(guests)
            .map(|(key, value)| {
                (interner.acquire_key(key).symbol(), interner.acquire(value).symbol())
            })
            .collect();
        let label_count = labels.map_or(0, BTreeMap::len);
        let mut row = Self {
            texts,
            label_count: u32::try_from(label_count).unwrap_or(u32::MAX),
            uid,
            namespace,
            region,
            cluster,
            provider,
            role,
            team,
            environment,
            zone,
            ready_reason,
            holds: holds.collect(),
            problem: problem.as_deref().map(|text| fit(text, MAX_TEXT).into()),
            created: Seconds::new(metadata.creation_timestamp.as_ref().map(|time| time.0)),
            launched: Seconds::new(status.launch_time),
            changed: Seconds::new(all.iter().filter_map(|c| c.as_ref()?.since).max()),
            base_phase: base_phase(&status),
            phase: Phase::Unknown,
            health: Health::Unknown,
            service_state: spec.service_state,
            run: RowRun::new(spec.ansible.as_deref(), &status.ansible).map(Box::new),
            last_run: status.ansible.state,
            ready: conditions.ready.as_ref().and_then(|c| c.status),
            provider_healthy: conditions.provider_healthy.as_ref().and_then(|c| c.status),
            agent_ready: conditions.agent_ready.as_ref().and_then(|c| c.status),
            seen: conditions.seen.as_ref().and_then(|c| c.status),
            deleting: metadata.deletion_timestamp.is_some(),
            listed_as_running: status.sources.values().any(|s| s.state == Some(Phase::Running)),
            in_maintenance: false,
        };
        row.tick(now);
        Some(Built { row, pairs })
    }

    /// Gives back the shared texts of a row with these pairs, which is not to be shown any more.
    pub(crate) fn release(&self, pairs: &[(Symbol, Symbol)], interner: &mut Interner) {
        for atom in [
            &self.namespace,
            &self.region,
            &self.cluster,
            &self.provider,
            &self.role,
            &self.team,
            &self.environment,
            &self.zone,
            &self.ready_reason,
        ] {
            interner.release(atom.symbol());
        }
        for (key, value) in pairs {
            interner.release_key(*key);
            interner.release(*value);
        }
    }

    /// Derives again what depends on the time. True when phase, health or maintenance changed.
    pub(crate) fn tick(&mut self, now: Timestamp) -> bool {
        let old = (self.phase, self.health, self.in_maintenance);
        self.in_maintenance = self.holds.iter().any(|hold| hold.is_current(now));
        self.phase = if self.deleting {
            Phase::Decommissioning
        } else if self.in_maintenance {
            Phase::Maintenance
        } else {
            self.base_phase
        };
        self.health = self.derive_health();
        old != (self.phase, self.health, self.in_maintenance)
    }

    /// The next time at which [`HostRow::tick`] may change something.
    pub(crate) fn next_tick(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.holds.iter().flat_map(|hold| [hold.begin(), hold.until]);
        times.filter(|time| *time > now).min()
    }

    /// Whether a person who looks at both could not tell them apart, labels aside. The resource
    /// version is not seen.
    pub(crate) fn looks_like(&self, other: &Self) -> bool {
        let words = |row: &Self| {
            let Self { phase, health, service_state, last_run, ready, deleting, .. } = *row;
            (phase, health, service_state, last_run, ready, deleting, row.in_maintenance)
        };
        let times = |row: &Self| (row.created, row.launched, row.changed);
        let shared = |row: &Self| -> [Symbol; 9] {
            [
                row.namespace.symbol(),
                row.region.symbol(),
                row.cluster.symbol(),
                row.provider.symbol(),
                row.role.symbol(),
                row.team.symbol(),
                row.environment.symbol(),
                row.zone.symbol(),
                row.ready_reason.symbol(),
            ]
        };
        words(self) == words(other)
            && self.trouble() == other.trouble()
            && times(self) == times(other)
            && shared(self) == shared(other)
            && [Part::Name, Part::Address, Part::ProviderId, Part::Display]
                .into_iter()
                .all(|part| self.texts.get(part) == other.texts.get(part))
            && self.label_count == other.label_count
            && self.holds == other.holds
            && self.run == other.run
            && self.problem == other.problem
    }
}

/// The texts of a host in one piece of memory.
fn texts(record: &HostRecord, uid: &crate::model::key::Uid) -> Texts {
    let metadata = &record.metadata;
    let name = match metadata.name.as_deref() {
        Some(name) if !name.is_empty() => fit(name, MAX_TEXT),
        _ => Cow::Borrowed(uid.as_str()),
    };
    let address = address(&record.status).map(|text| fit(text, MAX_TEXT)).unwrap_or_default();
    let provider_id = fit(record.spec.provider_id.as_deref().unwrap_or_default(), MAX_TEXT);
    let annotations = metadata.annotations.as_ref();
    let display = annotations.and_then(|all| all.get(labels::DISPLAY_NAME));
    let display = fit(display.map_or("", |text| text.trim()), MAX_DISPLAY);
    // The object's own name is not kept twice.
    let display = if display == name { Cow::Borrowed("") } else { display };
    let version = fit(metadata.resource_version.as_deref().unwrap_or_default(), MAX_TEXT);
    let ids = [&name, &address, &provider_id];
    let folded = if ids.iter().all(|text| is_folded(text)) {
        String::new()
    } else {
        fold(&format!("{name}\n{address}\n{provider_id}"))
    };
    let parts = [&*name, &*address, &*provider_id, &*display, &*version, &*folded];
    let mut all = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    let mut ends = [0; Part::COUNT];
    for (end, part) in ends.iter_mut().zip(parts) {
        all.push_str(part);
        *end = u32::try_from(all.len()).unwrap_or(u32::MAX);
        all.push('\n');
    }
    all.pop();
    Texts { all: all.into_boxed_str(), ends }
}

/// The text, clean, and at most `max` characters of it.
pub(super) fn fit(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        None => text::clean(text),
        Some((end, _)) => {
            let kept = text.get(..end).unwrap_or_default();
            Cow::Owned(format!("{}…", text::clean(kept)))
        }
    }
}

fn address(status: &StatusRecord) -> Option<&str> {
    let first = |type_| {
        let mut addresses = status.addresses.iter();
        addresses.find(|a| a.type_ == Some(type_)).and_then(|a| a.address.as_deref())
    };
    first(AddressType::InternalIP).or_else(|| first(AddressType::ExternalIP))
}

/// The phase that status gives, without regard to deletion and holds: its own word, else the
/// worst of what the sources say, else Unknown. A status that still says Maintenance or
/// Decommissioning without cause is behind; what the sources say is nearer to the truth.
fn base_phase(status: &StatusRecord) -> Phase {
    let own = status.phase.filter(|p| !matches!(p, Phase::Maintenance | Phase::Decommissioning));
    let sources = status.sources.values().filter_map(|source| source.state);
    own.or_else(|| sources.max_by_key(|phase| badness(*phase))).unwrap_or_default()
}

/// Order in which the states of several sources fold into one: the greatest wins.
fn badness(phase: Phase) -> u8 {
    match phase {
        Phase::Unknown => 0,
        Phase::Running => 1,
        Phase::Planned => 2,
        Phase::Pending => 3,
        Phase::Maintenance => 4,
        Phase::Decommissioning => 5,
        Phase::Stopped => 6,
        Phase::Unreachable => 7,
        Phase::Missing => 8,
        Phase::Gone => 9,
    }
}
