use super::*;
use aws_sdk_ec2::types::{
    ArchitectureValues, CpuOptions, EventCode, InstanceIpv6Address, InstanceNetworkInterface,
    InstanceStatusEvent, InstanceStatusSummary, InstanceType, Placement, PlatformValues, Tag,
};

fn state(name: &str, code: i32) -> InstanceState {
    InstanceState::builder().name(name.into()).code(code).build()
}

fn instance() -> aws_sdk_ec2::types::builders::InstanceBuilder {
    Instance::builder()
        .instance_id("i-0abc")
        .state(state("running", 16))
        .placement(Placement::builder().availability_zone("eu-west-1a").build())
}

fn map(instance: &Instance) -> Observed {
    observe(Some("123456789012"), instance, "eu-west-1", Some(&HashMap::new())).unwrap()
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

#[test]
fn an_ordinary_instance() {
    let host = map(&instance()
        .instance_type(InstanceType::M5Large)
        .architecture(ArchitectureValues::X8664)
        .platform_details("Linux/UNIX")
        .private_ip_address("10.0.0.1")
        .public_ip_address("192.0.2.1")
        .private_dns_name("ip-10-0-0-1.ec2.internal")
        .public_dns_name("")
        .launch_time(DateTime::from_secs_f64(1_700_000_000.75))
        .cpu_options(CpuOptions::builder().core_count(2).threads_per_core(2).build())
        .tags(tag("Name", "web-1"))
        .tags(tag("Team", "shop"))
        .build());
    assert_eq!(host.name, "aws-i-0abc");
    assert_eq!(host.provider_id, "aws:///eu-west-1a/i-0abc");
    assert_eq!(host.account.as_deref(), Some("123456789012"));
    assert_eq!(host.display_name.as_deref(), Some("web-1"));
    assert_eq!(host.tags, [("Team".to_owned(), "shop".to_owned())].into());
    assert_eq!((host.state, host.raw_state.as_deref()), (Phase::Running, Some("running")));
    assert_eq!(host.hardware.arch.as_deref(), Some("amd64"));
    assert_eq!(host.hardware.cpus, Some(4));
    assert_eq!(host.hardware.instance_type.as_deref(), Some("m5.large"));
    assert_eq!(host.os.as_deref(), Some("linux"));
    assert_eq!(host.launch_time.unwrap().as_second(), 1_700_000_000);
    let kinds: Vec<_> = host.addresses.iter().map(|a| (a.type_, a.address.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (AddressType::InternalIP, "10.0.0.1"),
            (AddressType::ExternalIP, "192.0.2.1"),
            (AddressType::InternalDNS, "ip-10-0-0-1.ec2.internal"),
        ]
    );
    assert_eq!(host.health, Some(Health::default()));
    assert_eq!(
        host.url.as_deref(),
        Some(
            "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1#InstanceDetails:instanceId=i-0abc"
        )
    );
}

#[test]
fn a_bare_instance_is_mapped_without_what_it_lacks() {
    let host = map(&instance().tags(tag("Name", "  ")).build());
    assert_eq!(host.display_name, None);
    assert_eq!(host.hardware, Hardware::default());
    assert!(host.addresses.is_empty() && host.tags.is_empty() && host.launch_time.is_none());
}

#[test]
fn what_cannot_be_identified_is_a_problem_of_its_own() {
    let map = |instance: Instance| observe(None, &instance, "eu-west-1", None);
    let nameless = map(Instance::builder().state(state("running", 16)).build()).unwrap_err();
    assert_eq!(nameless.name, None);
    for broken in [
        instance().set_state(None).build(),
        instance().set_placement(None).build(),
        instance().placement(Placement::builder().availability_zone("").build()).build(),
    ] {
        assert_eq!(map(broken).unwrap_err().name.as_deref(), Some("aws-i-0abc"));
    }
}

#[test]
fn states_fold_and_unknown_ones_keep_their_word() {
    for (name, code, phase) in [
        ("pending", 0, Phase::Pending),
        ("running", 16, Phase::Running),
        ("shutting-down", 32, Phase::Gone),
        ("terminated", 48, Phase::Gone),
        ("stopping", 64, Phase::Stopped),
        ("stopped", 80, Phase::Stopped),
        ("hibernating", 16 + 256, Phase::Running),
        ("dreaming", 7, Phase::Unknown),
    ] {
        assert_eq!(fold(&state(name, code)), (phase, Some(name.to_owned())), "{name}");
    }
    let nameless = InstanceState::builder().code(272).build();
    assert_eq!(fold(&nameless), (Phase::Running, Some("code 272".to_owned())));
    assert_eq!(fold(&InstanceState::builder().build()), (Phase::Unknown, None));
}

#[test]
fn operating_systems_and_architectures() {
    let windows = instance().platform(PlatformValues::Windows).build();
    assert_eq!(os(&windows), "windows");
    assert_eq!(os(&instance().platform_details("Windows with SQL Server Web").build()), "windows");
    assert_eq!(os(&instance().platform_details("Red Hat Enterprise Linux").build()), "linux");
    let mac = instance().architecture(ArchitectureValues::Arm64Mac).build();
    assert_eq!((os(&mac), arch(&mac).as_deref()), ("darwin", Some("arm64")));
    let new = instance().architecture("riscv64".into()).build();
    assert_eq!(arch(&new).as_deref(), Some("riscv64"));
}

#[test]
fn further_interfaces_add_addresses_once() {
    let interface = InstanceNetworkInterface::builder()
        .private_ip_address("10.0.0.2")
        .ipv6_addresses(InstanceIpv6Address::builder().ipv6_address("2001:db8::1").build())
        .build();
    let host = map(&instance()
        .private_ip_address("10.0.0.2")
        .ipv6_address("2001:db8::1")
        .network_interfaces(interface)
        .build());
    let all: Vec<_> = host.addresses.iter().map(|a| a.address.as_str()).collect();
    assert_eq!(all, ["10.0.0.2", "2001:db8::1"]);
}

#[test]
fn status_checks_and_events() {
    let check = |status: SummaryStatus| InstanceStatusSummary::builder().status(status).build();
    let event = |text: &str, id: &str| {
        InstanceStatusEvent::builder()
            .code(EventCode::InstanceRetirement)
            .instance_event_id(id)
            .description(text)
            .not_before(DateTime::from_secs(1_000))
            .build()
    };
    let fine = InstanceStatus::builder().instance_id("i-1").system_status(check(SummaryStatus::Ok));
    assert_eq!(health(&fine.build()), None);
    let bad = InstanceStatus::builder()
        .instance_id("i-1")
        .instance_status(check(SummaryStatus::Impaired))
        .system_status(check(SummaryStatus::Impaired))
        .events(event("[Completed] done", "e-1"))
        .events(event("the hardware is tired", "e-2"));
    let (id, health) = health(&bad.build()).unwrap();
    assert_eq!(id, "i-1");
    assert_eq!(
        health.problem.unwrap().message,
        "the provider's status checks are impaired: instance, system"
    );
    assert_eq!(health.events.len(), 1);
    let event = &health.events[0];
    assert_eq!((event.id.as_str(), event.code.as_str()), ("e-2", "instance-retirement"));
    assert_eq!(event.not_before, Some(Time(Timestamp::from_second(1_000).unwrap())));
}

#[test]
fn health_that_was_not_asked_for_is_not_health() {
    assert_eq!(observe(None, &instance().build(), "eu-west-1", None).unwrap().health, None);
}
