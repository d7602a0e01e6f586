use super::*;
use proptest::prelude::*;

fn print(ids: &[&str], uuid: &str, vendor: &str, serial: &str, macs: &[&str]) -> Fingerprint {
    let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
    Fingerprint::of(&Claims {
        provider_ids: ids.to_vec(),
        uuid: some(uuid),
        vendor: some(vendor),
        serial: some(serial),
        macs: macs.to_vec(),
    })
}

const UUID: &str = "4c4c4544-0034-5210-8054-b7c04f4c3132";
const OTHER: &str = "4c4c4544-0034-5210-8054-b7c04f4c3133";
const MAC: &str = "3c:ec:ef:12:34:56";

#[test]
fn the_first_key_that_both_have_decides() {
    use Relation::{Different, Same, Unrelated, Unsure};
    let aws = "aws:///eu-west-1a/i-0abc";
    for (a, b, relation) in [
        (print(&[aws], "", "", "", &[]), print(&[aws], "", "", "", &[]), Same(Rank::ProviderId)),
        // the zone does not count, another instance does
        (
            print(&[aws], "", "", "", &[]),
            print(&["aws:////i-0abc"], "", "", "", &[]),
            Same(Rank::ProviderId),
        ),
        (
            print(&[aws], UUID, "Dell", "ABC1234", &[MAC]),
            print(&["aws:///eu-west-1a/i-0abd"], UUID, "Dell", "ABC1234", &[MAC]),
            Different(Rank::ProviderId),
        ),
        // ids of two kinds say nothing about each other, and two servers are two kinds
        (
            print(&[aws], "", "", "", &[]),
            print(&["netbox://nb/dcim/devices/3"], "", "", "", &[]),
            Unrelated,
        ),
        (
            print(&["netbox://a/dcim/devices/3"], UUID, "", "", &[]),
            print(&["netbox://b/dcim/devices/9"], UUID, "", "", &[]),
            Same(Rank::Uuid),
        ),
        (
            print(&[aws, "netbox://a/dcim/devices/3"], UUID, "", "", &[]),
            print(&[aws, "netbox://a/dcim/devices/4"], UUID, "", "", &[]),
            Unsure,
        ),
        (print(&[aws], UUID, "", "", &[]), print(&[], UUID, "", "", &[]), Same(Rank::Uuid)),
        // the same UUID in the other byte order
        (
            print(&[], UUID, "", "", &[]),
            print(&[], "44454C4C-3400-1052-8054-B7C04F4C3132", "", "", &[]),
            Same(Rank::Uuid),
        ),
        (
            print(&[], UUID, "Dell", "ABC1234", &[MAC]),
            print(&[], OTHER, "Dell", "ABC1234", &[MAC]),
            Different(Rank::Uuid),
        ),
        (
            print(&[], UUID, "Dell Inc.", "abc 1234", &[]),
            print(&[], "", "DELL", "ABC1234", &[]),
            Same(Rank::Serial),
        ),
        // a network card that moved
        (
            print(&[], "", "Dell", "ABC1234", &[MAC]),
            print(&[], "", "Dell", "ABC1235", &[MAC]),
            Different(Rank::Serial),
        ),
        (print(&[], "", "Dell", "ABC1234", &[]), print(&[], "", "", "ABC1234", &[]), Unsure),
        (print(&[], "", "HP", "ABC1234", &[]), print(&[], "", "HPE", "ABC1234", &[]), Unsure),
        (
            print(&[], "", "", "ABC1234", &[MAC]),
            print(&[], "", "Dell", "ABC1234", &["3CEC.EF12.3456"]),
            Same(Rank::Mac),
        ),
        (
            print(&[], "", "", "", &["3c:ec:ef:00:00:01", MAC]),
            print(&[], "", "", "", &[MAC, "3c:ec:ef:00:00:02"]),
            Same(Rank::Mac),
        ),
        (print(&[], "", "", "", &[MAC]), print(&[], "", "", "", &["3c:ec:ef:00:00:02"]), Unrelated),
        (print(&[], "", "Dell", "", &[]), print(&[], "", "Dell", "", &[]), Unrelated),
    ] {
        assert_eq!(a.relation(&b), relation, "{a:?} {b:?}");
        assert_eq!(b.relation(&a), relation, "the other way round: {a:?} {b:?}");
    }
}

#[test]
fn what_nobody_filled_in_identifies_nothing() {
    let nothing = Fingerprint::default();
    for junk in [
        "",
        " ",
        "None",
        "N/A",
        "n/a",
        "Unknown",
        "To be filled by O.E.M.",
        "To Be Filled By OEM",
        "Not Specified",
        "Not Applicable",
        "Default string",
        "System Serial Number",
        "0",
        "00000000",
        "XXXXXXXX",
        "--------",
        "123456789",
        "1234567890",
        "0123456789",
        "123",
        "OEM",
        "INVALID",
    ] {
        assert_eq!(print(&[], "", "Dell", junk, &[]), nothing, "serial {junk:?}");
        assert_eq!(print(&[], junk, "", "", &[junk]), nothing, "uuid and mac {junk:?}");
    }
    for junk in [
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
        "4c4c4544-0034-5210-8054",
        "g-12",
    ] {
        assert_eq!(print(&[], junk, "", "", &[]), nothing, "uuid {junk:?}");
    }
    for junk in [
        "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
        "02:42:ac:11:00:02", // administered locally
        "06:58:8f:a1:b2:c3",
        "01:00:5e:00:00:01", // a group
        "00:00:5e:00:01:17", // a virtual router
        "3c:ec:ef:00:00:00",
        "3c:ec:ef:12:34",
        "3c:ec:ef:12:34:56:78",
        "eth0",
    ] {
        assert_eq!(print(&[], "", "", "", &[junk]), nothing, "mac {junk:?}");
    }
    for junk in [
        "",
        " ",
        "aws://",
        "aws:///",
        "aws:///eu-west-1a/",
        "k3s://worker-1",
        "kind://docker/kind/a",
    ] {
        assert_eq!(print(&[junk], "", "", "", &[]), nothing, "providerID {junk:?}");
    }
    assert!(nothing.is_empty() && !print(&[], UUID, "", "", &[]).is_empty());
    // no vendor is no vendor that two have in common
    let a = print(&[], "", "To be filled by O.E.M.", "ABC1234", &[]);
    assert_eq!(a.relation(&a.clone()), Relation::Unsure);
}

#[test]
fn one_clear_match_and_no_guess() {
    use Relation::{Different, Same, Unrelated, Unsure};
    let choose = |all: &[Relation]| choose(all.iter().copied().enumerate());
    assert_eq!(choose(&[]), Match::None);
    assert_eq!(choose(&[Unrelated, Different(Rank::Uuid)]), Match::None);
    assert_eq!(choose(&[Different(Rank::Uuid), Same(Rank::Mac)]), Match::One(1, Rank::Mac));
    assert_eq!(
        choose(&[Same(Rank::Mac), Same(Rank::Uuid), Same(Rank::Serial)]),
        Match::One(1, Rank::Uuid)
    );
    assert_eq!(
        choose(&[Same(Rank::Uuid), Same(Rank::Mac), Same(Rank::Uuid)]),
        Match::Several(vec![0, 2])
    );
    assert_eq!(choose(&[Unsure, Same(Rank::Mac)]), Match::One(1, Rank::Mac));
    assert_eq!(choose(&[Unsure]), Match::Several(vec![0]));
}

/// A few values of each key, so that hosts often have some in common, junk among them.
fn machine() -> impl Strategy<Value = (Vec<String>, [String; 3], Vec<String>)> {
    let of =
        |all: &'static [&'static str]| prop::sample::select(all).prop_map(str::to_owned).boxed();
    let ids =
        of(&["aws:///a/i-1", "aws:///b/i-1", "aws:///a/i-2", "netbox://n/d/1", "k3s://n", ""]);
    let uuids = of(&[UUID, OTHER, "44454C4C-3400-1052-8054-B7C04F4C3132", "", "none"]);
    let vendors = of(&["Dell", "Dell Inc.", "HPE", "", "OEM"]);
    let serials = of(&["ABC1234", "abc-1234", "XYZ9876", "", "None"]);
    let macs = of(&[MAC, "3CECEF123456", "3c:ec:ef:00:00:02", "02:42:ac:11:00:02"]);
    (prop::collection::vec(ids, 0..3), [uuids, vendors, serials], prop::collection::vec(macs, 0..3))
}

fn of(
    (ids, [uuid, vendor, serial], macs): &(Vec<String>, [String; 3], Vec<String>),
) -> Fingerprint {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let macs: Vec<&str> = macs.iter().map(String::as_str).collect();
    print(&ids, uuid, vendor, serial, &macs)
}

proptest! {
    #[test]
    fn relations_are_the_same_from_both_sides_and_found_by_a_key(a in machine(), b in machine()) {
        let (a, b) = (of(&a), of(&b));
        let relation = a.relation(&b);
        prop_assert_eq!(relation, b.relation(&a));
        if matches!(relation, Relation::Same(_) | Relation::Unsure) {
            prop_assert!(a.keys().any(|key| b.keys().any(|other| other == key)));
        }
    }

    #[test]
    fn order_and_repetition_do_not_count(one in machine()) {
        let mut turned = one.clone();
        turned.0.reverse();
        turned.2.reverse();
        turned.2.extend(one.2.clone());
        prop_assert_eq!(of(&one), of(&turned));
    }

    #[test]
    fn the_order_of_candidates_does_not_count(all in prop::collection::vec(machine(), 0..5)) {
        let prints: Vec<Fingerprint> = all.iter().map(of).collect();
        let Some((first, rest)) = prints.split_first() else { return Ok(()) };
        let found = |turned: bool| {
            let mut all: Vec<_> = rest.iter().enumerate().map(|(n, p)| (n, first.relation(p))).collect();
            if turned {
                all.reverse();
            }
            match choose(all) {
                Match::Several(mut all) => { all.sort_unstable(); Match::Several(all) }
                other => other,
            }
        };
        prop_assert_eq!(found(false), found(true));
    }

    #[test]
    fn any_text_is_read_without_harm(text in ".{0,64}") {
        let claims = Claims {
            provider_ids: vec![&text], uuid: Some(&text), vendor: Some(&text), serial: Some(&text),
            macs: vec![&text],
        };
        let print = Fingerprint::of(&claims);
        let alone = matches!(print.relation(&print), Relation::Same(_) | Relation::Unsure);
        prop_assert_eq!(alone, !print.is_empty());
    }
}
