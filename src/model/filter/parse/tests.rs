use proptest::prelude::*;

use super::*;
use crate::model::filter::ast::{
    IpTest, LabelTest, Pattern, RUN_WORDS, Term, TextField, TimeField, state_words,
};
use crate::model::labels::is_label_key;

/// Texts, and how the filter writes itself.
#[test]
fn every_form() {
    for (text, written) in [
        ("", ""),
        ("  ", ""),
        ("web", "web"),
        ("web  db", "web db"),
        ("web && db", "web db"),
        ("web&&db", "web db"),
        ("a||b&&c", "a || b c"),
        ("(a||b) c", "(a || b) c"),
        ("c (a||b)", "c && (a || b)"),
        ("((a))", "a"),
        ("(a (b c))", "a b c"),
        ("a || (b || c)", "a || b || c"),
        ("!a", "!a"),
        ("! a", "!a"),
        ("!!a", "!!a"),
        ("!(a b)", "!(a b)"),
        ("!(a || b)", "!(a || b)"),
        ("\"two words\"", "\"two words\""),
        ("\"a \\\" b \\\\ c\"", "\"a \\\" b \\\\ c\""),
        ("a\"b c\"d", "a \"b c\" d"),
        ("/^web-\\d+$/", "/^web-\\d+$/"),
        ("/a\\/b/", "/a\\/b/"),
        ("env=prod", "env=prod"),
        ("env==prod", "env=prod"),
        ("env!=prod", "env!=prod"),
        ("!env=prod", "env!=prod"),
        ("env=*", "env=*"),
        ("env!=*", "env!=*"),
        ("env=\"\"", "env=\"\""),
        ("env=prod,role=db", "env=prod role=db"),
        ("a, b", "a b"),
        ("role in (db,web)", "role in (db,web)"),
        ("role in ( db , web, db )", "role in (db,web)"),
        ("role in (db)", "role=db"),
        ("role notin(x)", "role!=x"),
        ("role notin (x,y)", "role notin (x,y)"),
        ("in notin", "in notin"),
        ("a in && (b || c)", "a in && (b || c)"),
        ("topology.kubernetes.io/region=eu", "topology.kubernetes.io/region=eu"),
        ("disks>4", "disks>4"),
        ("disks<-4", "disks<-4"),
        ("region:EU", "region:eu"),
        ("region:eu,us", "region:eu,us"),
        ("region:eu,env=prod", "region:eu env=prod"),
        ("region:eu,!gpu", "region:eu !gpu"),
        ("region:\"a b\",\"c:d\"", "region:\"a b\",\"c:d\""),
        ("environment:prod", "env:prod"),
        ("state:run", "state:run"),
        ("state:Running,bad", "state:running,bad"),
        ("run:failed", "run:failed"),
        ("maintenance:ON", "maintenance:on"),
        ("maintenance:off", "maintenance:off"),
        ("ip:10.2.3.4/16", "ip:10.2.0.0/16"),
        ("ip:10.2.", "ip:10.2."),
        ("ip:10.2.0.1", "ip:10.2.0.1"),
        ("ip:FE80::/10", "ip:fe80::/10"),
        ("age<2h", "age<2h"),
        ("age<=90m", "age<1h30m"),
        ("age>=10d", "age>1w3d"),
        ("seen>0s", "seen>0s"),
        ("aws:///eu-west-1a/i-0", "aws:///eu-west-1a/i-0"),
        ("fe80::1", "fe80::1"),
        ("a!b", "a!b"),
        ("a|b&c", "a|b&c"),
        ("日本 é", "日本 é"),
    ] {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(filter.to_string(), written, "{text}");
        assert_eq!(Filter::parse(written).as_ref(), Ok(&filter), "{text}");
        assert_eq!(filter.is_empty(), written.is_empty());
    }
}

/// Texts that are no filter: where it goes wrong, and what is said.
#[test]
fn errors_name_the_place() {
    for (text, at, message) in [
        ("(web", 0..1, "no ')' belongs to this '('"),
        ("web)", 3..4, "no '(' belongs to this ')'"),
        ("web ||", 6..6, "a term is missing here"),
        ("web || || db", 7..8, "a term is missing here"),
        ("&& web", 0..1, "a term is missing here"),
        ("()", 1..2, "a term is missing here"),
        ("a,", 2..2, "a term is missing here"),
        ("!", 1..1, "a term is missing here"),
        ("web \"two words", 4..14, "the closing quote is missing"),
        ("\"a\nb\"", 2..3, "a line break or tab between quotes"),
        ("\"\"", 0..2, "nothing between the quotes"),
        ("/web", 0..4, "the closing '/' is missing; a text with '/' in front goes in quotes"),
        ("//", 0..2, "nothing between the slashes"),
        ("x /(/", 2..5, "no regular expression: unclosed group"),
        ("env=", 4..4, "a value is missing here"),
        ("env= web", 4..5, "a value is missing here"),
        ("=prod", 0..1, "a label key is missing in front of this"),
        ("env=a/b", 4..7, "\"a/b\" is no label value"),
        ("a@b=c", 0..3, "\"a@b\" is no label key; a text with '=', '<' or '>' goes in quotes"),
        ("role in (", 8..9, "no ')' belongs to this '('"),
        ("role in (a", 8..9, "no ')' belongs to this '('"),
        ("role in ()", 9..10, "a value is missing here"),
        ("role in (a b)", 11..12, "values are separated by commas"),
        ("web regin:eu", 4..9, "there is no field \"regin\"; a text with ':' goes in quotes"),
        ("region:", 7..7, "a value is missing here"),
        ("state:runing", 6..12, "\"runing\" is none of the words for this"),
        ("maintenance:yes", 12..15, "on or off?"),
        (
            "ip:10.2.0.0/33",
            3..14,
            "\"10.2.0.0/33\" is no address, network or beginning of an address",
        ),
        ("age<", 4..4, "a span of time is missing here"),
        ("age<2", 4..5, "\"2\" is no span of time"),
        ("age>99999999999999999999d", 4..25, "\"99999999999999999999d\" is no span of time"),
        ("disks>many", 6..10, "a label is compared with a whole number"),
        ("a\u{202E}b", 1..4, "an invisible character (\\u{202e})"),
    ] {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!((error.at, error.message.as_str()), (at, message), "{text}");
    }
}

#[test]
fn length_depth_and_terms_are_limited() {
    assert!(Filter::parse(&"a".repeat(4096)).is_ok());
    let error = Filter::parse(&"é".repeat(2049)).unwrap_err();
    assert_eq!(error.at, 4096..4098);
    for nested in [format!("{}a{}", "(".repeat(63), ")".repeat(63)), format!("{}a", "!".repeat(63))]
    {
        assert!(Filter::parse(&nested).is_ok());
    }
    for nested in ["(".repeat(4000), "!".repeat(4000), "!(".repeat(2000)] {
        assert_eq!(Filter::parse(&nested).unwrap_err().message, "nested deeper than 64 levels");
    }
    assert!(Filter::parse(&"a ".repeat(64)).is_ok());
    assert_eq!(Filter::parse(&"a ".repeat(65)).unwrap_err().message, "more than 64 terms");
    assert!(Filter::parse("/(a{1000}){1000}/").is_err());
}

#[test]
fn the_help_parses() {
    for (examples, _) in crate::model::filter::GRAMMAR_HELP {
        for example in examples.split("  ").map(str::trim).filter(|text| *text != "notin") {
            assert!(Filter::parse(example).is_ok(), "{example}");
        }
    }
}

fn label_value() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z0-9]([a-z0-9._-]{0,5}[a-z0-9])?", 1 => "[ a(,\"\\\\=*é]{0,4}"]
}

fn field_value() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z0-9._/-]{1,6}", 1 => "[ a(),\"\\\\=:!é]{1,4}"]
        .prop_map(|text| crate::model::filter::fold(&text))
}

fn distinct(list: Vec<String>) -> Vec<String> {
    let mut out = Vec::new();
    for value in list {
        if !out.contains(&value) {
            out.push(value);
        }
    }
    out
}

fn term() -> impl Strategy<Value = Term> {
    let many = |value: BoxedStrategy<String>| {
        proptest::collection::vec(value, 1..4).prop_map(distinct).boxed()
    };
    let words: Vec<String> = state_words().map(|(word, _)| word).collect();
    let runs: Vec<String> = RUN_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect();
    let key = "([a-z]{1,4}\\.io/)?[a-zA-Z]([a-z0-9-]{0,4}[a-z0-9])?"
        .prop_filter("a key of a time", |key: &String| {
            is_label_key(key) && !["age", "seen"].contains(&key.as_str())
        });
    let test = prop_oneof![
        Just(LabelTest::Exists),
        many(label_value().boxed()).prop_map(LabelTest::In),
        any::<i64>().prop_map(LabelTest::Greater),
        any::<i64>().prop_map(LabelTest::Less),
    ];
    prop_oneof![
        4 => prop_oneof!["[a-z0-9é._-]{1,5}", Just("in".to_owned()), Just("notin".to_owned()),
                    "x[a-z]://[a-z/]{1,4}", "[a-z]{1,3}!", "[|&]"].prop_map(Term::Word),
        1 => "[ a-z\"\\\\/!()é]{1,6}".prop_map(Term::Exact),
        1 => "([a-z/ ]|\\\\\\\\|\\\\d|\\.\\*){1,5}".prop_filter_map("a regex", |source| {
            Pattern::new(source).ok().map(Term::Regex)
        }),
        3 => (key, test).prop_map(|(key, test)| Term::Label { key, test }),
        2 => (0..TextField::ALL.len(), many(field_value().boxed())).prop_map(|(number, values)| {
            Term::Field { field: TextField::ALL[number].1, values }
        }),
        1 => many("[a-z0-9-]{1,5}".boxed()).prop_map(Term::Source),
        1 => many(proptest::sample::select(words).boxed()).prop_map(Term::State),
        1 => many(proptest::sample::select(runs).boxed()).prop_map(Term::Run),
        1 => any::<bool>().prop_map(Term::Maintenance),
        1 => (any::<bool>(), any::<bool>(), 0..400_000_000_i64).prop_map(|(seen, older, seconds)| {
            Term::Time { field: TimeField::ALL[usize::from(seen)].1, older, seconds }
        }),
        1 => (any::<[u8; 4]>(), 0..=32_u8).prop_map(|(address, length)| {
            let net = ipnet::Ipv4Net::new(address.into(), length).unwrap().trunc();
            Term::Ip(IpTest::Net(net.into()))
        }),
        1 => "(10|192)\\.[0-9]{1,2}\\.?".prop_map(|text| Term::Ip(IpTest::Prefix(text))),
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    term().prop_map(Expr::Term).prop_recursive(4, 24, 4, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            2 => parts.clone().prop_map(|parts| flat(parts, false)),
            2 => parts.prop_map(|parts| flat(parts, true)),
            1 => inner.prop_map(|part| Expr::Not(Box::new(part))),
        ]
    })
}

/// As the parser makes it: none of its own kind directly inside.
fn flat(parts: Vec<Expr>, any: bool) -> Expr {
    let parts = parts.into_iter().flat_map(|part| match part {
        Expr::Any(inner) if any => inner,
        Expr::All(inner) if !any => inner,
        part => vec![part],
    });
    if any { Expr::Any(parts.collect()) } else { Expr::All(parts.collect()) }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(expr in expr()) {
        let filter = Filter::new(expr);
        let text = filter.to_string();
        prop_assert_eq!(Filter::parse(&text), Ok(filter), "{}", text);
    }

    #[test]
    fn any_text_is_a_filter_or_an_error_with_a_place(text in "\\PC{0,40}") {
        check_any(&text)?;
    }

    #[test]
    fn any_text_of_our_own_signs_too(text in "([!()\"/\\\\,&|=:<> *é]|in|notin|age|env|ip|state|10|2h|a){0,14}") {
        check_any(&text)?;
    }
}

fn check_any(text: &str) -> Result<(), TestCaseError> {
    match Filter::parse(text) {
        Ok(filter) => {
            let written = filter.to_string();
            prop_assert_eq!(Filter::parse(&written), Ok(filter), "{} > {}", text, written);
        }
        Err(error) => {
            prop_assert!(text.get(error.at.clone()).is_some(), "{:?} in {:?}", error, text);
            prop_assert!(!error.message.is_empty());
        }
    }
    Ok(())
}
