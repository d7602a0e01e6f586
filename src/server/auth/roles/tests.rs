use super::*;

const CORE_EVENTS: &str = "events";

fn action(verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> Action {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Action {
        verb: verb.into(),
        group: group.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        path: String::new(),
    }
}

fn path(verb: &str, path: &str) -> Action {
    Action { verb: verb.into(), path: path.into(), ..Action::default() }
}

fn may(groups: &[&str], verb: &str, group: &str, resource: &str) -> bool {
    allows(&User::new("someone", groups), &action(verb, group, resource, "ns", "x")).allowed
}

fn agent() -> User {
    User::new("inv:host:ns:web-1", &[HOSTS])
}

#[test]
fn every_role_and_what_it_may_and_may_not() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &str, &str, bool)] = &[
        (VIEWERS,   "get",    INVENTORY,    "hosts",          true),
        (VIEWERS,   "watch",  INVENTORY,    "sources",        true),
        (VIEWERS,   "list",   "",           CORE_EVENTS,      true),
        (VIEWERS,   "list",   "events.k8s.io", CORE_EVENTS,   true),
        (VIEWERS,   "get",    LEASES,       "leases",         true),
        (VIEWERS,   "list",   CERTIFICATES, REQUESTS,         true),
        (VIEWERS,   "list",   "",           "namespaces",     true),
        (VIEWERS,   "list",   "apiextensions.k8s.io", "customresourcedefinitions", true),
        (VIEWERS,   "patch",  INVENTORY,    "hosts",          false),
        (VIEWERS,   "create", "",           CORE_EVENTS,      false),
        (VIEWERS,   "get",    "",           "secrets",        false),
        (VIEWERS,   "get",    "",           "hosts",          false),
        (OPERATORS, "get",    INVENTORY,    "hosts",          true),
        (OPERATORS, "patch",  INVENTORY,    "hosts",          true),
        (OPERATORS, "update", INVENTORY,    "hosts",          false),
        (OPERATORS, "patch",  INVENTORY,    "clusters",       false),
        (OPERATORS, "patch",  INVENTORY,    "clusters/status", true),
        (OPERATORS, "create", "events.k8s.io", CORE_EVENTS,   true),
        (OPERATORS, "patch",  INVENTORY,    "hosts/status",   false),
        (OPERATORS, "delete", INVENTORY,    "hosts",          false),
        (OPERATORS, "patch",  INVENTORY,    "sources",        false),
        (OPERATORS, "update", CERTIFICATES, "certificatesigningrequests/approval", false),
        (FETCHERS,  "create", INVENTORY,    "hosts",          true),
        (FETCHERS,  "delete", INVENTORY,    "hosts",          true),
        (FETCHERS,  "patch",  INVENTORY,    "hosts/status",   true),
        (FETCHERS,  "patch",  INVENTORY,    "regions/status", false),
        (FETCHERS,  "get",    "",           "namespaces",     true),
        (FETCHERS,  "create", "",           "namespaces",     false),
        (FETCHERS,  "patch",  LEASES,       "leases",         false),
        (FETCHERS,  "get",    "",           "secrets",        false),
        (FETCHERS,  "deletecollection", INVENTORY, "hosts",   false),
        (FETCHERS,  "create", "apiextensions.k8s.io", "customresourcedefinitions", false),
        (APPROVERS, "update", CERTIFICATES, "certificatesigningrequests/approval", true),
        (APPROVERS, "update", CERTIFICATES, "certificatesigningrequests/status",   false),
        (APPROVERS, "create", CERTIFICATES, REQUESTS,         false),
        (APPROVERS, "patch",  INVENTORY,    "hosts",          false),
        (APPROVERS, "create", LEASES,       "leases",         false),
        (LIFECYCLE, "patch",  INVENTORY,    "hosts/status",   true),
        (LIFECYCLE, "patch",  INVENTORY,    "regions/status", true),
        (LIFECYCLE, "delete", INVENTORY,    "hosts",          false),
        (LIFECYCLE, "get",    LEASES,       "leases",         true),
        (LIFECYCLE, "patch",  LEASES,       "leases",         false),
        (RUNNERS,   "patch",  INVENTORY,    "hosts/status",   true),
        (RUNNERS,   "patch",  INVENTORY,    "hosts",          false),
        (RUNNERS,   "list",   CERTIFICATES, REQUESTS,         false),
        (RUNNERS,   "get",    "",           "secrets",        false),
        (DECOMMISSIONERS, "patch", INVENTORY,  "hosts/status",   true),
        (DECOMMISSIONERS, "patch", INVENTORY,  "hosts",          true),
        (DECOMMISSIONERS, "delete", INVENTORY, "hosts",          false),
        (DECOMMISSIONERS, "create", INVENTORY, "hosts",          false),
        (DECOMMISSIONERS, "delete", LEASES,    "leases",         true),
        (DECOMMISSIONERS, "patch", LEASES,     "leases",         false),
        (DECOMMISSIONERS, "get",   "",         "secrets",        false),
        (MONITORS,  "watch",  INVENTORY,    "hosts",          true),
        (MONITORS,  "patch",  INVENTORY,    "hosts",          false),
        (MONITORS,  "patch",  INVENTORY,    "hosts/status",   false),
        (MONITORS,  "get",    "",           "namespaces",     true),
        (MONITORS,  "list",   "",           "namespaces",     false),
        (MONITORS,  "list",   "events.k8s.io", CORE_EVENTS,   false),
        (MONITORS,  "get",    "",           "secrets",        false),
        (RENDERERS, "watch",  INVENTORY,    "hosts",          true),
        (RENDERERS, "patch",  INVENTORY,    "hosts",          false),
        (RENDERERS, "list",   INVENTORY,    "clusters",       false),
        (RENDERERS, "get",    LEASES,       "leases",         false),
        (RENDERERS, "get",    "",           "secrets",        false),
        (BOOTSTRAPPERS, "create", CERTIFICATES, REQUESTS,     true),
        (BOOTSTRAPPERS, "get",    INVENTORY, "hosts",         false),
        (ADMINS,    "delete", "apps",       "deployments",    true),
        (MASTERS,   "*",      "*",          "*",              true),
        (AUTHENTICATED, "create", "authorization.k8s.io", "selfsubjectaccessreviews", true),
        (AUTHENTICATED, "create", "authorization.k8s.io", "selfsubjectrulesreviews",  true),
        (AUTHENTICATED, "create", "authentication.k8s.io", "selfsubjectreviews",      true),
        (AUTHENTICATED, "create", "authorization.k8s.io", "subjectaccessreviews",     false),
        (AUTHENTICATED, "get",    INVENTORY, "hosts",         false),
    ];
    for (group, verb, api_group, resource, wanted) in table {
        let got = may(&[group], verb, api_group, resource);
        assert_eq!(got, *wanted, "{group} {verb} {api_group} {resource}");
    }
}

#[test]
fn rights_of_several_groups_add_up() {
    assert!(may(&[VIEWERS, APPROVERS], "get", INVENTORY, "hosts"));
    assert!(may(&[VIEWERS, OPERATORS], "patch", INVENTORY, "hosts"));
    assert!(!may(&["inv:viewer", "operators"], "get", INVENTORY, "hosts"));
}

#[test]
fn an_agent_reaches_only_its_own_host() {
    let may = |verb, group, resource, namespace, name| {
        allows(&agent(), &action(verb, group, resource, namespace, name)).allowed
    };
    assert!(may("list", INVENTORY, "hosts", "", ""));
    assert!(may("patch", INVENTORY, "hosts/status", "ns", "web-1"));
    assert!(!may("update", INVENTORY, "hosts/status", "ns", "web-1"));
    assert!(!may("patch", INVENTORY, "hosts/status", "ns", "web-2"));
    assert!(!may("patch", INVENTORY, "hosts/status", "other", "web-1"));
    assert!(!may("patch", INVENTORY, "hosts/status", "ns", ""));
    assert!(!may("patch", INVENTORY, "hosts", "ns", "web-1"));
    assert!(!may("patch", INVENTORY, "clusters/status", "ns", "web-1"));
    assert!(!may("create", INVENTORY, "hosts", "ns", "web-1"));

    assert!(may("create", LEASES, "leases", "ns", "web-1"));
    assert!(may("patch", LEASES, "leases", "ns", "web-1"));
    assert!(!may("create", LEASES, "leases", "ns", "web-2"));
    assert!(!may("create", LEASES, "leases", "ns", ""));
    assert!(!may("delete", LEASES, "leases", "ns", "web-1"));
    assert!(!may("list", LEASES, "leases", "ns", ""));

    assert!(may("create", "events.k8s.io", "events", "ns", ""));
    assert!(!may("create", "events.k8s.io", "events", "other", ""));
    assert!(may("patch", "events.k8s.io", "events", "ns", "web-1.17f3"));
    assert!(!may("patch", "events.k8s.io", "events", "ns", "web-1.b.17f3"));
    assert!(!may("patch", "events.k8s.io", "events", "ns", "web-10.17f3"));
}

#[test]
fn an_agent_without_a_proper_name_has_no_host() {
    for name in ["inv:host:ns", "inv:host::web-1", "inv:host:ns:", "inv:host:ns:a:b", "web-1"] {
        let user = User::new(name, &[HOSTS]);
        assert_eq!(own_host(&user), None, "{name}");
        let wanted = action("patch", INVENTORY, "hosts/status", "ns", "web-1");
        assert!(!allows(&user, &wanted).allowed, "{name}");
    }
    assert_eq!(own_host(&User::new("inv:host:ns:web-1", &[VIEWERS])), None);
}

#[test]
fn own_requests_are_marked_so_that_others_are_not_shown() {
    let get = action("get", CERTIFICATES, REQUESTS, "", "csr-1");
    let decision = allows(&agent(), &get);
    assert!(decision.allowed && decision.own);
    assert!(!allows(&agent(), &action("list", CERTIFICATES, REQUESTS, "", "")).allowed);
    let both = User::new("inv:host:ns:web-1", &[HOSTS, VIEWERS]);
    assert!(!allows(&both, &get).own, "the wider right counts");
    let both = User::new("x", &[BOOTSTRAPPERS, ADMINS]);
    assert!(!allows(&both, &get).own);
}

#[test]
fn an_approver_approves_for_our_signers_only() {
    let approver = User::new("anna", &[APPROVERS]);
    let may = |verb, signer| {
        allows(&approver, &action(verb, CERTIFICATES, "signers", "", signer)).allowed
    };
    assert!(may("approve", "kubernetes.io/kube-apiserver-client"));
    assert!(may("approve", "inventory.inv-tui.dev/agent"));
    assert!(!may("approve", "kubernetes.io/kube-apiserver-client-kubelet"));
    assert!(!may("approve", "example.com/x"));
    assert!(!may("sign", "kubernetes.io/kube-apiserver-client"));
}

#[test]
fn a_service_takes_only_leases_of_services() {
    for group in [APPROVERS, FETCHERS, LIFECYCLE, RUNNERS, MONITORS] {
        let may = |verb, name| {
            let user = User::new("inv:svc:x", &[group]);
            allows(&user, &action(verb, LEASES, "leases", "ns", name)).allowed
        };
        for verb in ["create", "patch", "update"] {
            assert!(may(verb, "inv-tui-x"), "{group} {verb}");
            assert!(!may(verb, "web-1") && !may(verb, ""), "{group} {verb}");
        }
        assert!(may("get", "web-1") && !may("delete", "inv-tui-x"), "{group}");
    }
}

/// A line of either table, taken apart: group, verb, API group, resource, name.
type Right = (String, String, String, String, String);

/// What `deploy/rbac.yaml` allows.
fn manifest() -> std::collections::BTreeSet<Right> {
    let text = include_str!("../../../../deploy/rbac.yaml");
    let objects: Vec<Value> =
        text.split("\n---\n").skip(1).map(|one| serde_saphyr::from_str(one).unwrap()).collect();
    let words = |value: &Value| -> Vec<String> {
        let words = value.as_array().into_iter().flatten();
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = std::collections::BTreeSet::new();
    for binding in objects.iter().filter(|object| object["kind"] == "ClusterRoleBinding") {
        let role = objects
            .iter()
            .find(|o| {
                o["kind"] == "ClusterRole" && o["metadata"]["name"] == binding["roleRef"]["name"]
            })
            .unwrap();
        for subject in binding["subjects"].as_array().unwrap() {
            assert_eq!(subject["kind"], "Group");
            let group = subject["name"].as_str().unwrap();
            for rule in role["rules"].as_array().unwrap() {
                let mut names = words(&rule["resourceNames"]);
                if names.is_empty() {
                    names.push(String::new());
                }
                for verb in words(&rule["verbs"]) {
                    for api_group in words(&rule["apiGroups"]) {
                        for resource in words(&rule["resources"]) {
                            rights.extend(names.iter().map(|name| {
                                (
                                    group.to_owned(),
                                    verb.clone(),
                                    api_group.clone(),
                                    resource.clone(),
                                    name.clone(),
                                )
                            }));
                        }
                    }
                }
            }
        }
    }
    rights
}

/// What the table above allows. What RBAC cannot say of names is left out.
fn table() -> std::collections::BTreeSet<Right> {
    let mut rights = std::collections::BTreeSet::new();
    for rule in RULES {
        let names: &[&str] = match rule.which {
            Which::Named(names) if names != LEADERS => names,
            _ => &[""],
        };
        for group in rule.groups {
            for verb in rule.verbs {
                for api_group in rule.api_groups {
                    for resource in rule.resources {
                        rights.extend(names.iter().map(|name| {
                            let [who, verb, whose, what] =
                                [*group, *verb, *api_group, *resource].map(str::to_owned);
                            (who, verb, whose, what, (*name).to_owned())
                        }));
                    }
                }
            }
        }
    }
    rights
}

#[test]
fn the_manifest_says_the_same() {
    // Meant to differ: on a real cluster everybody may ask about themselves by a role of its own,
    // and whoever runs the embedded server is its administrator for everything.
    let elsewhere = [MASTERS, ADMINS, AUTHENTICATED];
    let own = |rights: std::collections::BTreeSet<Right>| -> Vec<Right> {
        rights.into_iter().filter(|right| !elsewhere.contains(&right.0.as_str())).collect()
    };
    let (manifest, table) = (own(manifest()), own(table()));
    assert!(manifest.len() > 100);
    for right in &manifest {
        assert!(table.contains(right), "only in deploy/rbac.yaml: {right:?}");
    }
    for right in &table {
        assert!(manifest.contains(right), "only in RULES: {right:?}");
    }
}

#[test]
fn no_role_of_the_manifest_is_almighty_or_reads_secrets() {
    for (group, verb, api_group, resource, _) in manifest() {
        assert_ne!(api_group, "*", "{group}");
        assert!(!resource.starts_with("secrets"), "{group}");
        if verb == "*" || resource == "*" {
            assert_eq!((group.as_str(), api_group.as_str()), (ADMINS, INVENTORY));
        }
    }
}

#[test]
fn public_paths_and_the_others() {
    let may = |user: &User, verb, at| allows(user, &path(verb, at)).allowed;
    let (nobody, someone) = (User::anonymous(), User::new("someone", &[]));
    for at in ["/healthz", "/livez", "/readyz", "/version"] {
        assert!(may(&nobody, "get", at) && may(&someone, "get", at), "{at}");
        assert!(!may(&nobody, "post", at), "{at}");
    }
    for at in ["/api", "/apis", "/apis/x/v1", "/openapi/v3", "/openapi/v3/apis/x"] {
        assert!(!may(&nobody, "get", at) && may(&someone, "get", at), "{at}");
    }
    for at in ["", "/", "/metrics", "/apisx", "/healthzz", "/debug"] {
        assert!(!may(&someone, "get", at), "{at}");
        assert!(may(&User::owner(), "get", at), "{at}");
    }
    assert!(!allows(&nobody, &action("get", INVENTORY, "hosts", "ns", "x")).allowed);
}

#[test]
fn the_list_of_rules_names_the_own_host() {
    let (resources, paths) = rules(&agent(), "ns");
    let named =
        |list: &[Value]| list.iter().filter(|r| r["resourceNames"] == json!(["web-1"])).count();
    assert_eq!(named(&resources), 2);
    assert_eq!(named(&rules(&agent(), "other").0), 0);
    assert!(paths.iter().any(|rule| rule["nonResourceURLs"][0] == "/api"));
    let (resources, paths) = rules(&User::owner(), "ns");
    assert_eq!(resources[0], json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
    assert_eq!(paths[0], json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
}

#[test]
fn a_refusal_says_who_cannot_do_what_and_where() {
    let bob = User::new("bob", &[]);
    let error =
        forbidden(&bob, &action("create", "inv.example.com", "hosts/status", "default", "x"));
    assert_eq!((error.code, error.reason), (403, "Forbidden"));
    assert_eq!(
        error.message,
        "hosts.inv.example.com \"x\" is forbidden: User \"bob\" cannot create resource \
         \"hosts/status\" in API group \"inv.example.com\" in the namespace \"default\""
    );
    let d = &error.details;
    assert_eq!(
        (d.name.as_str(), d.group.as_str(), d.kind.as_str()),
        ("x", "inv.example.com", "hosts")
    );
    assert_eq!(
        forbidden(&bob, &action("list", "", "secrets", "", "")).message,
        "secrets is forbidden: User \"bob\" cannot list resource \"secrets\" in API group \"\" at \
         the cluster scope"
    );
    assert_eq!(
        forbidden(&bob, &path("get", "/foo")).message,
        "forbidden: User \"bob\" cannot get path \"/foo\""
    );
}
