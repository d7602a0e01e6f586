//! Whether one filter can choose only what another one chooses, told from the two alone.
//!
//! It answers no wherever it is not sure: then every host is tested again, which is slower but
//! never wrong.

use super::ast::{Expr, IpTest, LabelTest, Term};
use super::fuzzy::fold;

/// Whether every host chosen by `new` is chosen by `old`. A word also chooses hosts by label key,
/// and only by a whole one, so that a longer word may find what a shorter one does not; `is_key`
/// says which words are keys.
pub(super) fn implies(new: &Expr, old: &Expr, is_key: &dyn Fn(&str) -> bool) -> bool {
    // One order of taking apart, so that each pair of parts is looked at once.
    match (new, old) {
        (_, Expr::All(parts)) => parts.iter().all(|part| implies(new, part, is_key)),
        (Expr::Any(parts), _) => parts.iter().all(|part| implies(part, old, is_key)),
        (Expr::All(parts), _) => parts.iter().any(|part| implies(part, old, is_key)),
        (_, Expr::Any(parts)) => parts.iter().any(|part| implies(new, part, is_key)),
        (Expr::Not(new), Expr::Not(old)) => implies(old, new, is_key),
        (Expr::Term(new), Expr::Term(old)) => term_implies(new, old, is_key),
        (Expr::Not(_), Expr::Term(_)) | (Expr::Term(_), Expr::Not(_)) => false,
    }
}

fn term_implies(new: &Term, old: &Term, is_key: &dyn Fn(&str) -> bool) -> bool {
    if new == old {
        return true;
    }
    let within = |new: &[String], old: &[String], inside: fn(&str, &str) -> bool| {
        new.iter().all(|value| old.iter().any(|part| inside(value, part)))
    };
    match (new, old) {
        (Term::Word(new), Term::Word(old)) => {
            let new = fold(new);
            !is_key(&new) && new.contains(&fold(old))
        }
        (Term::Exact(new), Term::Exact(old)) => fold(new).contains(&fold(old)),
        (Term::Label { key: new_key, test: new }, Term::Label { key: old_key, test: old }) => {
            new_key == old_key && label_implies(new, old)
        }
        (
            Term::Field { field: new_field, values: new },
            Term::Field { field: old_field, values: old },
        ) => new_field == old_field && within(new, old, |value, part| value.contains(part)),
        (Term::Source(new), Term::Source(old)) => within(new, old, |value, name| value == name),
        (Term::State(new), Term::State(old)) | (Term::Run(new), Term::Run(old)) => {
            within(new, old, |value, part| value.starts_with(part))
        }
        (Term::Ip(IpTest::Net(new)), Term::Ip(IpTest::Net(old))) => old.contains(new),
        (Term::Ip(IpTest::Prefix(new)), Term::Ip(IpTest::Prefix(old))) => new.starts_with(old),
        (
            Term::Time { field: new_field, older: new_older, seconds: new },
            Term::Time { field: old_field, older: old_older, seconds: old },
        ) => {
            let tighter = if *new_older { new >= old } else { new <= old };
            new_field == old_field && new_older == old_older && tighter
        }
        _ => false,
    }
}

fn label_implies(new: &LabelTest, old: &LabelTest) -> bool {
    match (new, old) {
        (_, LabelTest::Exists) => true,
        (LabelTest::In(new), LabelTest::In(old)) => new.iter().all(|value| old.contains(value)),
        (LabelTest::Greater(new), LabelTest::Greater(old)) => new >= old,
        (LabelTest::Less(new), LabelTest::Less(old)) => new <= old,
        _ => false,
    }
}
