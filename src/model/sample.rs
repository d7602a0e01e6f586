//! A made-up fleet, always the same for the same numbers: for the demo, for tests and benchmarks.
//!
//! It is meant to look like a real one: most hosts run, a few are stopped, held, unreachable or
//! unfinished; three providers name and number their machines each in its own way; a dozen labels
//! on each host, most of them shared with thousands of others.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::cluster::{AnsibleDefaults, Cluster, ClusterSpec, Disruption, Playbook};
use super::host::{
    Address, AddressType, AnsibleRequest, AnsibleStatus, Hardware, Hold, HoldMode, Host, HostSpec,
    HostStatus, MaintenanceStatus, OsStatus, Phase, RunState, ServiceState, SourceFacts,
};
use super::region::{Region, RegionMember, RegionSpec};
use super::source::{Breaker, CredentialsReference, Source, SourceSpec, SourceType};
use super::{DEFAULT_NAMESPACE, condition, labels};

/// Regions with their provider, their zones, and their name for people.
const REGIONS: [(&str, &str, &[&str], &str); 8] = [
    ("eu-west-1", "aws", &["eu-west-1a", "eu-west-1b", "eu-west-1c"], "Ireland"),
    ("eu-central-1", "aws", &["eu-central-1a", "eu-central-1b"], "Frankfurt (AWS)"),
    ("us-east-1", "aws", &["us-east-1a", "us-east-1b", "us-east-1d"], "Virginia"),
    ("us-west-2", "aws", &["us-west-2a", "us-west-2b"], "Oregon"),
    ("ap-south-1", "aws", &["ap-south-1a"], "Mumbai"),
    ("fra", "netbox", &["fra-1", "fra-2"], "Frankfurt (own)"),
    ("ams", "netbox", &["ams-1"], "Amsterdam (own)"),
    ("dal", "ibm", &["dal10", "dal12"], "Dallas"),
];
const ROLES: [(&str, &str, &str); 10] = [
    ("web", "storefront", "m5.large"),
    ("api", "platform", "c5.xlarge"),
    ("db", "data", "r5.2xlarge"),
    ("cache", "platform", "r5.large"),
    ("worker", "billing", "c5.large"),
    ("kafka", "streaming", "i3.xlarge"),
    ("search", "storefront", "r5.xlarge"),
    ("build", "tools", "c5.4xlarge"),
    ("lb", "network", "c5n.large"),
    ("gpu", "research", "p3.2xlarge"),
];
const ENVIRONMENTS: [&str; 4] = ["prod", "prod", "staging", "dev"];
/// People who hold hosts in maintenance.
pub const ENGINEERS: [&str; 5] = ["alice", "bob", "chandra", "dmitri", "eve"];
/// Why they do.
pub const REASONS: [&str; 4] =
    ["disk replacement", "kernel upgrade", "network move in the rack", "memory errors"];
/// Hosts of one cluster, about.
const CLUSTER_SIZE: u32 = 80;

/// The hosts number 0 to `count` of the fleet, as of `now`.
pub fn fleet(count: u32, now: Timestamp) -> impl Iterator<Item = Host> {
    (0..count).map(move |number| host(number, now))
}

/// The regions of the fleet, for hosts in `namespace`.
pub fn regions(namespace: &str) -> Vec<Region> {
    let region = |&(name, provider, zones, display): &(&str, &str, &[&str], &str)| {
        let member =
            RegionMember { provider: provider.into(), account: None, region: name.to_owned() };
        let spec = RegionSpec {
            display_name: Some(display.to_owned()),
            namespace: Some(namespace.to_owned()),
            members: vec![member],
            zones: zones.iter().map(|&zone| zone.to_owned()).collect(),
        };
        Region::new(name, spec)
    };
    REGIONS.iter().map(region).collect()
}

/// The clusters that a fleet of `count` hosts has, in the order of their names. One that spans
/// regions names none.
pub fn clusters(count: u32) -> Vec<Cluster> {
    let mut all: BTreeMap<String, Cluster> = BTreeMap::new();
    for number in 0..cluster_count(count.saturating_sub(1)) {
        let place = Place::of_cluster(number);
        let spec = ClusterSpec {
            region: Some(place.region.to_owned()),
            environment: Some(place.environment.to_owned()),
            team: Some(place.team.to_owned()),
            disruption: Disruption { max_unavailable: IntOrString::String("10%".to_owned()) },
            ansible: Some(AnsibleDefaults {
                playbook: Some("site.yml".to_owned()),
                revision: Some("main".to_owned()),
                playbooks: playbooks(),
            }),
            ..ClusterSpec::default()
        };
        let cluster = all
            .entry(place.cluster.clone())
            .or_insert_with(|| Cluster::new(&place.cluster, spec.clone()));
        if cluster.spec.region != spec.region {
            cluster.spec.region = None;
        }
    }
    all.into_values().collect()
}

/// The sources of the fleet, by name, as they are set up: nothing of any pass.
pub fn sources() -> Vec<Source> {
    let source = |(name, type_, credentials): (&str, SourceType, CredentialsReference)| {
        let own = REGIONS.iter().filter(|(_, provider, ..)| *provider == name);
        let mapping = [("team", "Team"), ("environment", "Environment"), ("role", "Role")];
        let spec = SourceSpec {
            type_,
            interval: Some("5m".to_owned()),
            credentials: Some(credentials),
            scopes: own.map(|(region, ..)| (*region).to_owned()).collect(),
            mapping: mapping.map(|(field, tag)| (field.to_owned(), tag.to_owned())).into(),
            breaker: Some(Breaker { max_gone_percent: 10, min_hosts: 0 }),
            grace: Some("24h".to_owned()),
        };
        Source::new(name, spec)
    };
    let by = CredentialsReference { profile: None, environment: None, file: None };
    let profile = CredentialsReference { profile: Some("demo".to_owned()), ..by.clone() };
    let key = CredentialsReference { environment: Some("IBM_KEY".to_owned()), ..by.clone() };
    let token = CredentialsReference { file: Some("/etc/inv-tui/netbox.token".to_owned()), ..by };
    let all = [
        ("aws", SourceType::AWS, profile),
        ("ibm", SourceType::IBMCloudClassic, key),
        ("netbox", SourceType::NetBox, token),
    ];
    all.map(source).into()
}

/// Name of the object of one host.
pub fn name(number: u32) -> String {
    identity(number, &Place::of(number)).0
}

/// One host of the fleet, as of `now`.
pub fn host(number: u32, now: Timestamp) -> Host {
    let dice = Dice(number);
    let place = Place::of(number);
    let (name, provider_id) = identity(number, &place);
    let age = SignedDuration::from_hours(i64::from(dice.roll(8, 24 * 400)));
    let launched = now.saturating_sub(age).unwrap_or(now);
    let display = format!("{}-{}-{}", place.role, place.environment, number + 1);
    let metadata = ObjectMeta {
        name: Some(name),
        namespace: Some(DEFAULT_NAMESPACE.to_owned()),
        uid: Some(uid(dice)),
        resource_version: Some((u64::from(number) + 1_000).to_string()),
        generation: Some(1),
        creation_timestamp: Some(Time(launched)),
        labels: Some(place.labels(dice)),
        annotations: Some(BTreeMap::from([(labels::DISPLAY_NAME.to_owned(), display)])),
        finalizers: Some(vec![labels::FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    let service_state = match dice.roll(10, 200) {
        0 => ServiceState::Quarantined,
        1 | 2 => ServiceState::OutOfService,
        _ => ServiceState::InService,
    };
    let changed = now.saturating_sub(age / 3).unwrap_or(now);
    let mut status = status(dice, &place, launched, changed);
    let spec = HostSpec {
        provider_id: Some(provider_id),
        cluster: Some(place.cluster.clone()),
        role: Some(place.role.to_owned()),
        team: Some(place.team.to_owned()),
        environment: Some(place.environment.to_owned()),
        service_state,
        maintenance: holds(dice, now),
        ansible: status.ansible.as_ref().map(|run| request(dice, run)),
        ..HostSpec::default()
    };
    hold_in_force(&spec.maintenance, &mut status);
    Host { metadata, spec, status: Some(status) }
}

/// Where a host is and what it is for.
struct Place {
    region: &'static str,
    provider: &'static str,
    zones: &'static [&'static str],
    zone: &'static str,
    role: &'static str,
    team: &'static str,
    instance_type: &'static str,
    environment: &'static str,
    cluster: String,
}

/// How many clusters there are when the host with this number is made.
fn cluster_count(number: u32) -> u32 {
    (number / 1000 + 1) * 1000 / CLUSTER_SIZE
}

impl Place {
    fn of(number: u32) -> Self {
        // The fleet grows by clusters; hosts that are made one after the other are spread over
        // all that there are by then.
        let place = Self::of_cluster(Dice(number).roll(1, cluster_count(number)));
        Self { zone: *Dice(number).pick::<&str>(5, place.zones), ..place }
    }

    fn of_cluster(cluster: u32) -> Self {
        let dice = Dice(cluster);
        let (region, provider, zones, _) = *dice.pick(2, &REGIONS);
        let (role, team, instance_type) = *dice.pick(3, &ROLES);
        let environment = *dice.pick(4, &ENVIRONMENTS);
        Self {
            region,
            provider,
            zones,
            zone: "",
            role,
            team,
            instance_type,
            environment,
            cluster: format!("{role}-{environment}-{}", cluster / 40 + 1),
        }
    }

    fn labels(&self, dice: Dice) -> BTreeMap<String, String> {
        let account = format!("{}-{:03}", self.provider, dice.roll(7, 4) + 1);
        let labels = [
            (labels::REGION, self.region),
            (labels::ZONE, self.zone),
            (labels::INSTANCE_TYPE, self.instance_type),
            (labels::ARCH, if dice.roll(11, 10) == 0 { "arm64" } else { "amd64" }),
            (labels::OS, "linux"),
            (labels::PROVIDER, self.provider),
            (labels::SOURCE, self.provider),
            (labels::ACCOUNT, &account),
            (labels::CLUSTER, &self.cluster),
            (labels::ROLE, self.role),
            (labels::TEAM, self.team),
            (labels::ENVIRONMENT, self.environment),
        ];
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        // Whoever has machines of their own has a number on each.
        let asset = format!("A{:07}", dice.roll(23, 10_000_000));
        let asset = (self.provider == "netbox").then(|| ("example.com/asset".to_owned(), asset));
        labels.chain(asset).collect()
    }
}

/// Name of the object and id at the provider, as each provider makes them.
fn identity(number: u32, place: &Place) -> (String, String) {
    let serial = Dice(number).mix(6);
    match place.provider {
        "aws" => {
            let id = format!("i-0{serial:016x}");
            (format!("aws-{id}"), format!("aws:///{}/{id}", place.zone))
        }
        "netbox" => {
            let id = number + 1000;
            (format!("netbox-device-{id}"), format!("netbox:///dcim/{id}"))
        }
        _ => {
            let id = format!("0717_{:08x}-{:04x}", serial >> 32, serial & 0xFFFF);
            (format!("ibm-{}", id.replace('_', "-")), format!("ibm:///{}/{id}", place.region))
        }
    }
}

fn status(dice: Dice, place: &Place, launched: Timestamp, changed: Timestamp) -> HostStatus {
    let (phase, ready, reason) = phase(dice.roll(9, 1000));
    let condition =
        |type_, status, reason, since| condition::condition(None, type_, status, reason, "", since);
    // A host that does not answer runs, as far as its provider knows.
    let state = if phase == Phase::Unreachable { Phase::Running } else { phase };
    let missed = (phase == Phase::Missing).then_some(2);
    let facts =
        SourceFacts { state, since: Some(Time(launched)), missed, ..SourceFacts::default() };
    HostStatus {
        observed_generation: Some(1),
        phase: Some(phase),
        sources: BTreeMap::from([(place.provider.to_owned(), facts)]),
        addresses: addresses(dice, place.zone),
        hardware: Some(Hardware {
            cpus: Some(4),
            memory_mib: Some(16_384),
            instance_type: Some(place.instance_type.to_owned()),
            ..Hardware::default()
        }),
        os: Some(OsStatus {
            id: Some("debian".to_owned()),
            version: Some("13.1".to_owned()),
            kernel: Some("6.12.48-amd64".to_owned()),
            ..OsStatus::default()
        }),
        launch_time: Some(Time(launched)),
        ansible: ansible(dice, changed),
        conditions: vec![
            condition(condition::READY, ready, reason, changed),
            condition(condition::SEEN, phase != Phase::Missing, "Listed", launched),
            condition(condition::AGENT_READY, phase != Phase::Unreachable, "Lease", changed),
            condition(condition::PROVIDER_HEALTHY, reason != "ProviderImpaired", "Checks", changed),
        ],
        ..HostStatus::default()
    }
}

/// State of a host of which there are so many in a thousand: phase, ready, and why.
fn phase(roll: u32) -> (Phase, bool, &'static str) {
    match roll {
        0..8 => (Phase::Unreachable, false, "AgentSilent"),
        8..12 => (Phase::Missing, false, "NotListed"),
        12..32 => (Phase::Stopped, false, "Stopped"),
        32..40 => (Phase::Pending, false, "Starting"),
        40..45 => (Phase::Planned, false, "NotBuilt"),
        45..55 => (Phase::Running, false, "ProviderImpaired"),
        _ => (Phase::Running, true, "AllFine"),
    }
}

/// What the holds do to the status.
fn hold_in_force(holds: &BTreeMap<String, Hold>, status: &mut HostStatus) {
    let Some((holder, hold)) = holds.first_key_value() else { return };
    let since = hold.since.0;
    status.phase = Some(Phase::Maintenance);
    status.maintenance = Some(MaintenanceStatus {
        active: true,
        holders: Some(holder.clone()),
        since: Some(hold.since.clone()),
        until: Some(hold.until.clone()),
        drained: Some(true),
    });
    status.conditions.retain(|condition| condition.type_ != condition::READY);
    for (type_, value) in [(condition::READY, false), (condition::IN_MAINTENANCE, true)] {
        let why = &hold.reason;
        status.conditions.push(condition::condition(None, type_, value, "Held", why, since));
    }
}

fn holds(dice: Dice, now: Timestamp) -> BTreeMap<String, Hold> {
    if dice.roll(12, 60) != 0 {
        return BTreeMap::new();
    }
    let minutes = |number| SignedDuration::from_mins(i64::from(number));
    let since = now.saturating_sub(minutes(dice.roll(13, 600))).unwrap_or(now);
    let until = now.saturating_add(minutes(dice.roll(14, 600) + 1)).unwrap_or(now);
    let hold = Hold {
        reason: (*dice.pick(15, &REASONS)).to_owned(),
        since: Time(since),
        until: Time(until),
        ticket: None,
        mode: HoldMode::Drain,
    };
    BTreeMap::from([((*dice.pick(16, &ENGINEERS)).to_owned(), hold)])
}

fn addresses(dice: Dice, zone: &str) -> Vec<Address> {
    let [a, b, c, ..] = dice.mix(17).to_le_bytes();
    let mut all = vec![
        Address { type_: AddressType::InternalIP, address: format!("10.{}.{b}.{c}", a % 16) },
        Address {
            type_: AddressType::InternalDNS,
            address: format!("ip-10-{}-{b}-{c}.{zone}.internal", a % 16),
        },
    ];
    if dice.roll(18, 5) == 0 {
        let address = format!("203.0.113.{c}");
        all.push(Address { type_: AddressType::ExternalIP, address });
    }
    all
}

fn ansible(dice: Dice, changed: Timestamp) -> Option<AnsibleStatus> {
    let state = match dice.roll(19, 100) {
        0 => RunState::Failed,
        1..60 => RunState::Succeeded,
        _ => return None,
    };
    let took = SignedDuration::from_secs(i64::from(dice.roll(24, 400)) + 12);
    Some(AnsibleStatus {
        started_at: Some(Time(changed.saturating_sub(took).unwrap_or(changed))),
        finished_at: Some(Time(changed)),
        rc: Some(if state == RunState::Failed { 2 } else { 0 }),
        ok: Some(30 + i32::try_from(dice.roll(25, 40)).unwrap_or(0)),
        changed: Some(i32::try_from(dice.roll(26, 6)).unwrap_or(0)),
        failed: Some(i32::from(state == RunState::Failed)),
        unreachable: Some(0),
        revision: Some("4f2c1d9".to_owned()),
        executor: Some("agent".to_owned()),
        ..AnsibleStatus::new(format!("run-{:08x}", dice.mix(20) >> 32), state)
    })
}

/// What was asked for when this run was.
fn request(dice: Dice, run: &AnsibleStatus) -> AnsibleRequest {
    let playbooks = playbooks();
    let playbook = dice.pick(27, &playbooks);
    AnsibleRequest {
        request_id: run.request_id.clone(),
        playbook: playbook.path.clone(),
        revision: None,
        tags: Vec::new(),
        check: playbook.check_only,
        extra_vars: BTreeMap::new(),
        timeout_seconds: None,
        requested_by: Some((*dice.pick(28, &ENGINEERS)).to_owned()),
        reason: None,
        cancel: false,
    }
}

/// What may be run on every host of the sample.
fn playbooks() -> Vec<Playbook> {
    let playbook = |path: &str, description: &str, tags: &[&str], check_only| Playbook {
        path: path.to_owned(),
        description: Some(description.to_owned()),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        check_only,
    };
    vec![
        playbook("site.yml", "Everything a host should be", &["packages", "users", "ntp"], false),
        playbook("patch.yml", "Security updates", &["kernel"], false),
        playbook("audit.yml", "What differs from the rules", &[], true),
    ]
}

fn uid(dice: Dice) -> String {
    let (high, low) = (dice.mix(21), dice.mix(22));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFF,
        low >> 48 & 0xFFF,
        low & 0xFFFF_FFFF_FFFF
    )
}

/// Numbers that look like chance and are always the same.
#[derive(Clone, Copy)]
struct Dice(u32);

impl Dice {
    /// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn mix(self, question: u64) -> u64 {
        let seed = (u64::from(self.0) << 8).wrapping_add(question);
        let mut z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `sides`.
    fn roll(self, question: u64, sides: u32) -> u32 {
        u32::try_from(self.mix(question) % u64::from(sides.max(1))).unwrap_or(0)
    }

    fn pick<T>(self, question: u64, list: &[T]) -> &T {
        let sides = u32::try_from(list.len()).unwrap_or(u32::MAX);
        list.get(self.roll(question, sides) as usize)
            .or_else(|| list.first())
            .expect("every list here has something in it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::labels::{is_label_key, is_label_value};

    #[test]
    fn there_are_three_providers_and_every_host_is_in_a_known_region_and_cluster() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let regions: Vec<String> =
            regions("n").into_iter().filter_map(|region| region.metadata.name).collect();
        for count in [100, 2_500] {
            let clusters = clusters(count);
            let mut providers = std::collections::BTreeSet::new();
            for (number, host) in (0..).zip(fleet(count, now)) {
                assert_eq!(host.metadata.name, Some(name(number)));
                let labels = host.metadata.labels.unwrap();
                let cluster = clusters
                    .iter()
                    .find(|c| c.metadata.name == host.spec.cluster)
                    .expect("a cluster for each host");
                assert!(regions.contains(&labels[labels::REGION]));
                if let Some(region) = &cluster.spec.region {
                    assert_eq!(*region, labels[labels::REGION]);
                }
                providers.insert(labels[labels::PROVIDER].clone());
            }
            assert_eq!(providers.len(), 3, "{count}: {providers:?}");
        }
    }

    #[test]
    fn the_same_number_is_the_same_host_and_keeps_the_rules() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let hosts: Vec<Host> = fleet(500, now).collect();
        assert_eq!(hosts[7], host(7, now));
        let mut names = std::collections::BTreeSet::new();
        for host in &hosts {
            let name = host.metadata.name.clone().unwrap();
            assert!(name.len() <= 63 && !name.contains('.'), "{name}");
            assert!(names.insert(name));
            for (key, value) in host.metadata.labels.iter().flatten() {
                assert!(is_label_key(key) && is_label_value(value), "{key}={value}");
            }
            for hold in host.spec.maintenance.values() {
                assert!(hold.since.0 < hold.until.0);
            }
        }
    }
}
