use super::*;
use proptest::prelude::*;

#[test]
fn numbers_count() {
    let sorted = ["a", "a-1", "a-02", "a-2", "a-10", "a-10b", "a-10c", "b", "b1x", "b01y", "é"];
    for (i, left) in sorted.iter().enumerate() {
        for (j, right) in sorted.iter().enumerate() {
            assert_eq!(natural_cmp(left, right), i.cmp(&j), "{left} {right}");
        }
    }
    let (small, large) = ("9".repeat(30), format!("1{}", "0".repeat(30)));
    assert_eq!(natural_cmp(&small, &large), Ordering::Less);
}

#[test]
fn a_uid_knows_its_server() {
    let most = ServerId::new(ServerId::MOST - 1).unwrap();
    assert_eq!(ServerId::new(ServerId::MOST), None);
    let (first, last) = (Uid::new("ü-1"), Uid::on(most, "ü-1"));
    assert_ne!(first, last);
    assert_eq!((first.as_str(), last.as_str()), ("ü-1", "ü-1"));
    assert_eq!((first.server(), last.server()), (ServerId::FIRST, most));
    assert_eq!((first.to_string(), Uid::new("").as_str()), ("ü-1".to_owned(), ""));
    assert_eq!(format!("{first:?} {last:?}"), "Uid(\"ü-1\") Uid(\"ü-1\" on 63)");
}

#[test]
fn nameless_groups_come_last() {
    assert_eq!(group_cmp("zz", ""), Ordering::Less);
    assert_eq!(group_cmp("", ""), Ordering::Equal);
    assert_eq!(group_cmp("eu-2", "eu-10"), Ordering::Less);
}

proptest! {
    #[test]
    fn natural_order_is_total(a in "[a01-]{0,6}", b in "[a01-]{0,6}", c in "[a01-]{0,6}") {
        prop_assert_eq!(natural_cmp(&a, &b), natural_cmp(&b, &a).reverse());
        prop_assert_eq!(natural_cmp(&a, &b).is_eq(), a == b);
        if natural_cmp(&a, &b).is_le() && natural_cmp(&b, &c).is_le() {
            prop_assert!(natural_cmp(&a, &c).is_le(), "{} {} {}", a, b, c);
        }
    }
}
