use super::*;

fn parse(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

#[test]
fn which_filters_narrow_which() {
    for (new, old) in [
        ("web", ""),
        ("web", "web"),
        ("web-1", "web"),
        ("web-1", "eb"),
        ("WEB1", "web"),
        ("web db", "db"),
        ("env=prod web", "env=prod"),
        ("env=prod web1", "env=prod web"),
        ("a b", "a || c"),
        ("a", "a || c"),
        ("ab || ac", "a"),
        ("(ab || ac) d", "a"),
        ("!a", "!ab"),
        ("!(a || b)", "!a"),
        ("\"prod-1\"", "\"prod\""),
        ("env=prod", "env in (prod,dev)"),
        ("env=prod", "env=*"),
        ("env notin (a,b)", "env!=a"),
        ("disks>5", "disks>4"),
        ("region:eu-w", "region:eu"),
        ("region:eu-w", "region:eu,us"),
        ("state:running", "state:run"),
        ("ip:10.2.3.0/24", "ip:10.2.0.0/16"),
        ("ip:10.2", "ip:10."),
        ("age<1h", "age<2h"),
        ("seen>2h", "seen>1h"),
    ] {
        assert!(parse(new).narrows(&parse(old)), "{new} narrows {old}");
    }
    for (new, old) in [
        ("", "web"),
        ("we", "web"),
        ("web", "db"),
        ("web || db", "web"),
        ("!ab", "!a"),
        ("web", "\"web\""),
        ("env=prod", "env!=dev"),
        ("env in (prod,dev)", "env=prod"),
        ("region:eu,us", "region:eu"),
        ("region:eu", "zone:eu"),
        ("ip:10.2.0.1", "ip:10.2."),
        ("age<2h", "age<1h"),
        ("age<2h", "age>1h"),
        ("age<1h", "seen<2h"),
        ("/ab/", "/a/"),
    ] {
        assert!(!parse(new).narrows(&parse(old)), "{new} does not narrow {old}");
    }
}

#[test]
fn words_are_those_that_are_wanted() {
    let filter = parse("web !db (\"a b\" || !(x !y)) env=prod /r/");
    assert_eq!(filter.words(), ["web", "a b", "y"]);
}

#[test]
fn what_fits_is_highlighted() {
    for (filter, text, places) in [
        ("web", "web-1", vec![0, 1, 2]),
        ("w1", "web-1", vec![0, 4]),
        ("W1", "wéb-1", vec![0, 4]),
        ("\"B-\"", "wéb-1", vec![2, 3]),
        ("/[0-9]+/", "é-12", vec![2, 3]),
        ("name:b-1", "web-1", vec![2, 3, 4]),
        ("web \"1\"", "web-1", vec![0, 1, 2, 4]),
        ("db", "web-1", vec![]),
        ("!web", "web-1", vec![]),
        ("env=web", "web-1", vec![]),
        ("ae", "arable", vec![]),
    ] {
        assert_eq!(parse(filter).highlights(text), places, "{filter} in {text}");
    }
    let score = |text: &str| parse("web1").score(text).map(|(score, _)| score);
    assert!(score("web-1") > score("w-e-b-1"));
    assert_eq!(score("db"), None);
}
