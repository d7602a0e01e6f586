use super::*;

fn problem(text: &str) -> String {
    crate::error::report(&parse(text).unwrap_err())
}

#[test]
fn sources_of_several_kinds() {
    let sources = parse(
        r#"
        [[source]]
        name = "shop"
        type = "aws"
        interval = "90s"
        regions = ["eu-west-1", "eu-west-2", "eu-west-1"]
        credentials = "profile:shop"
        role = "arn:aws:iam::111122223333:role/reader"
        external-id = "x"

        [[source]]
        name = "dc"
        type = "netbox"
        url = "https://netbox.example.com/"
        credentials = "env:NETBOX_TOKEN"
        filters = { site = ["ams1", "fra1"], status = "active" }
        full-pass = "30m"
        gone-after = 5
        breaker = { percent = 20, min = 0 }
        map = { team = "tenant" }
        "#,
    )
    .unwrap();
    let Setup::Aws(aws) = &sources[0].setup else { panic!("{:?}", sources[0].setup) };
    assert_eq!(aws.regions, Regions::Named(vec!["eu-west-1".into(), "eu-west-2".into()]));
    assert_eq!(
        (sources[0].interval, aws.profile.as_deref()),
        (Duration::from_secs(90), Some("shop"))
    );
    assert_eq!(aws.role.as_ref().unwrap().external_id.as_deref(), Some("x"));
    let Setup::NetBox(netbox) = &sources[1].setup else { panic!("{:?}", sources[1].setup) };
    assert_eq!(netbox.filters.len(), 3);
    assert_eq!((netbox.prefix.as_str(), netbox.devices), ("nb", true));
    let policy = &sources[1].policy;
    assert_eq!((policy.gone_after, policy.breaker_percent, policy.breaker_min), (5, 20, 0));
    assert_eq!(sources[1].full_every, Duration::from_mins(30));
}

#[test]
fn what_is_wrong_is_named() {
    let netbox = "[[source]]\nname = \"dc\"\ntype = \"netbox\"\nurl = \"https://nb\"\n";
    let with = |line: &str| problem(&format!("{netbox}{line}\n"));
    let token = "credentials = \"env:T\"\n";
    for (text, words) in [
        (String::new(), vec!["no source", "[[source]]"]),
        (
            "[[source]]\nname = \"a\"\ntype = \"vmware\"".to_owned(),
            vec!["line 3", "vmware", "netbox"],
        ),
        (
            "[[source]]\nname = \"a\"\ntype = \"aws\"\nintervall = \"5m\"".to_owned(),
            vec!["line 4", "intervall"],
        ),
        (
            "[[source]]\nname = \"a\"\ntype = \"aws\"\ninterval = \"5 m\"".to_owned(),
            vec!["line 4", "length of time"],
        ),
        ("[[source]]\nname = \"A b\"\ntype = \"aws\"".to_owned(), vec!["cannot name a source"]),
    ] {
        let said = problem(&text);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert!(with("").contains("credentials are not named"));
    assert!(with("regions = \"all\"\n").contains("type netbox has no key \"regions\""));
    let said = with("credentials = \"0123456789abcdef\"");
    assert!(said.contains("no reference") && !said.contains("0123456789abcdef"), "{said}");
    assert!(with(&format!("{token}prefix = \"-x\"")).contains("cannot begin the name"));
    assert!(with(&format!("{token}gone-after = 0")).contains("out of range"));
    assert!(
        with(&format!("{token}map = {{ \"kubernetes.io/os\" = \"os\" }}")).contains("cannot map")
    );
    assert!(problem(&format!("{netbox}{token}{netbox}{token}")).contains("two sources are named"));
}
