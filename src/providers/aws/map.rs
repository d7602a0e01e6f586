//! An EC2 instance as an [`Observed`] host.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{
    Instance, InstanceState, InstanceStateName, InstanceStatus, SummaryStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::ItemProblem;
use crate::model::host::{Address, AddressType, Hardware, Phase, ScheduledEvent};
use crate::model::labels;
use crate::providers::wire::Addresses;
use crate::providers::{Health, HealthProblem, Observed};

/// Tag whose value people read as the name of an instance.
const NAME_TAG: &str = "Name";

/// Maps one instance. `health` is what the status checks said, by instance id; an instance that it
/// lacks is healthy.
pub(super) fn observe(
    account: Option<&str>,
    instance: &Instance,
    region: &str,
    health: Option<&HashMap<String, Health>>,
) -> Result<Observed, ItemProblem> {
    let Some(id) = instance.instance_id().filter(|id| !id.is_empty()) else {
        return Err(ItemProblem {
            name: None,
            uid: None,
            what: "an instance without an id".to_owned(),
        });
    };
    let identity = |zone: &str| format!("aws:///{zone}/{id}");
    let name = labels::to_object_name(&format!("aws-{id}"), &identity(""));
    let broken = |what: &str| ItemProblem {
        name: Some(name.clone()),
        uid: None,
        what: format!("instance \"{id}\" {what}"),
    };
    let state = instance.state().ok_or_else(|| broken("has no state"))?;
    let zone = instance
        .placement()
        .and_then(|p| p.availability_zone())
        .filter(|zone| !zone.is_empty())
        .ok_or_else(|| broken("has no availability zone"))?;
    let mut tags: BTreeMap<String, String> = instance
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())))
        .collect();
    let display_name = tags.remove(NAME_TAG).filter(|name| !name.trim().is_empty());
    let (phase, raw_state) = fold(state);
    Ok(Observed {
        other_name: None,
        provider_id: identity(zone),
        uid: id.to_owned(),
        account: account.map(str::to_owned),
        region: region.to_owned(),
        zone: Some(zone.to_owned()),
        os: Some(os(instance).to_owned()),
        display_name,
        tags,
        state: phase,
        raw_state,
        url: Some(console(region, id)),
        addresses: addresses(instance),
        hardware: hardware(instance),
        launch_time: instance.launch_time().and_then(time),
        health: health.map(|all| all.get(id).cloned().unwrap_or_default()),
        name,
    })
}

/// What the status checks say of one instance; None if there is nothing to say.
pub(super) fn health(status: &InstanceStatus) -> Option<(String, Health)> {
    let id = status.instance_id()?;
    let impaired: Vec<&str> = [
        ("instance", status.instance_status().and_then(|s| s.status())),
        ("system", status.system_status().and_then(|s| s.status())),
        ("attached EBS", status.attached_ebs_status().and_then(|s| s.status())),
    ]
    .into_iter()
    .filter(|(_, status)| *status == Some(&SummaryStatus::Impaired))
    .map(|(name, _)| name)
    .collect();
    let problem = (!impaired.is_empty()).then(|| HealthProblem {
        reason: "StatusCheckImpaired",
        message: format!("the provider's status checks are impaired: {}", impaired.join(", ")),
    });
    let events: Vec<ScheduledEvent> = status
        .events()
        .iter()
        .filter(|event| {
            // done events linger for up to a week with this in front
            let text = event.description().unwrap_or_default();
            !text.starts_with("[Completed]") && !text.starts_with("[Canceled]")
        })
        .filter_map(|event| {
            let code = event.code()?.as_str().to_owned();
            Some(ScheduledEvent {
                id: event.instance_event_id().unwrap_or(&code).to_owned(),
                not_before: event.not_before().and_then(time).map(Time),
                not_after: event.not_after().and_then(time).map(Time),
                code,
            })
        })
        .collect();
    (problem.is_some() || !events.is_empty()).then(|| (id.to_owned(), Health { problem, events }))
}

/// Folds the state of an instance. Where the name is unknown, the low byte of the code counts: the
/// high one is for internal use (`InstanceState` in the EC2 API reference).
fn fold(state: &InstanceState) -> (Phase, Option<String>) {
    use InstanceStateName as Name;
    let phase = match state.name() {
        Some(Name::Pending) => Phase::Pending,
        Some(Name::Running) => Phase::Running,
        Some(Name::Stopping | Name::Stopped) => Phase::Stopped,
        Some(Name::ShuttingDown | Name::Terminated) => Phase::Gone,
        _ => match state.code().map(|code| code & 0xff) {
            Some(0) => Phase::Pending,
            Some(16) => Phase::Running,
            Some(64 | 80) => Phase::Stopped,
            Some(32 | 48) => Phase::Gone,
            _ => Phase::Unknown,
        },
    };
    let raw = match (state.name(), state.code()) {
        (Some(name), _) => Some(name.as_str().to_owned()),
        (None, Some(code)) => Some(format!("code {code}")),
        (None, None) => None,
    };
    (phase, raw)
}

/// The name of the architecture as Kubernetes uses it.
fn arch(instance: &Instance) -> Option<String> {
    let arch = instance.architecture()?.as_str();
    Some(
        match arch {
            "x86_64" | "x86_64_mac" => "amd64",
            "arm64" | "arm64_mac" => "arm64",
            "i386" => "386",
            other => other,
        }
        .to_owned(),
    )
}

fn os(instance: &Instance) -> &'static str {
    let details = instance.platform_details().unwrap_or_default();
    if instance.platform().is_some() || details.starts_with("Windows") {
        "windows"
    } else if instance.architecture().is_some_and(|a| a.as_str().ends_with("_mac")) {
        "darwin"
    } else {
        "linux"
    }
}

fn hardware(instance: &Instance) -> Hardware {
    let cpus = instance
        .cpu_options()
        .and_then(|cpu| cpu.core_count()?.checked_mul(cpu.threads_per_core().unwrap_or(1)))
        .filter(|cpus| *cpus > 0);
    Hardware {
        arch: arch(instance),
        cpus,
        instance_type: instance.instance_type().map(|t| t.as_str().to_owned()),
        ..Hardware::default()
    }
}

/// The primary addresses first, then those of the other network interfaces.
fn addresses(instance: &Instance) -> Vec<Address> {
    let mut found = Addresses::default();
    let mut add = |type_: AddressType, address| found.add(type_, address);
    add(AddressType::InternalIP, instance.private_ip_address());
    add(AddressType::ExternalIP, instance.public_ip_address());
    add(AddressType::InternalDNS, instance.private_dns_name());
    add(AddressType::ExternalDNS, instance.public_dns_name());
    add(AddressType::InternalIP, instance.ipv6_address());
    for interface in instance.network_interfaces() {
        add(AddressType::InternalIP, interface.private_ip_address());
        add(AddressType::ExternalIP, interface.association().and_then(|a| a.public_ip()));
        for ip in interface.ipv6_addresses() {
            add(AddressType::InternalIP, ip.ipv6_address());
        }
    }
    found.all()
}

fn console(region: &str, id: &str) -> String {
    let domain = if region.starts_with("cn-") {
        "console.amazonaws.cn"
    } else if region.starts_with("us-gov-") {
        "console.amazonaws-us-gov.com"
    } else {
        "console.aws.amazon.com"
    };
    format!("https://{region}.{domain}/ec2/home?region={region}#InstanceDetails:instanceId={id}")
}

fn time(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}

#[cfg(test)]
mod tests;
