//! Values of one label, or states, put into a filter and taken out of it: what a facet does. The
//! rest of the filter stays as it is.

use super::ast::{Expr, LabelTest, Term};
use super::{Filter, is_meant};

/// What the values of a facet are values of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// What `state:` asks for.
    State,
    /// A label, by its whole key.
    Label(String),
}

impl Facet {
    /// The values that a part of a filter asks for, if it is this facet's.
    fn values(&self, part: &Expr) -> Option<Vec<String>> {
        match (self, part) {
            (Self::State, Expr::Term(Term::State(words))) => Some(words.clone()),
            (Self::Label(wanted), Expr::Term(Term::Label { key, test: LabelTest::In(values) }))
                if is_meant(key, wanted) =>
            {
                Some(values.clone())
            }
            _ => None,
        }
    }

    /// A part that asks for these values; the key is written as in `before`, else like this.
    fn term(&self, values: Vec<String>, before: Option<&Expr>, written: &str) -> Expr {
        let key = match before {
            Some(Expr::Term(Term::Label { key, .. })) => key,
            _ => written,
        };
        Expr::Term(match self {
            Self::State => Term::State(values),
            Self::Label(_) => Term::Label { key: key.to_owned(), test: LabelTest::In(values) },
        })
    }
}

impl Filter {
    /// The parts that must all hold.
    fn parts(&self) -> Vec<Expr> {
        match self.0.as_ref() {
            Expr::All(parts) => parts.clone(),
            one => vec![one.clone()],
        }
    }

    fn of_parts(mut parts: Vec<Expr>) -> Self {
        match parts.pop() {
            Some(only) if parts.is_empty() => Self::new(only),
            Some(last) => {
                parts.push(last);
                Self::new(Expr::All(parts))
            }
            None => Self::default(),
        }
    }

    /// The values of a facet that it asks for; none of them: it asks for any.
    pub fn chosen(&self, facet: &Facet) -> Vec<String> {
        self.parts().iter().find_map(|part| facet.values(part)).unwrap_or_default()
    }

    /// The same without what it asks of a facet.
    #[must_use]
    pub fn without(&self, facet: &Facet) -> Self {
        Self::of_parts(
            self.parts().into_iter().filter(|part| facet.values(part).is_none()).collect(),
        )
    }

    /// The same with this value of a facet asked for as well, or not any more. A label that is not
    /// asked for yet is written as `written`.
    #[must_use]
    pub fn toggled(&self, facet: &Facet, written: &str, value: &str) -> Self {
        let mut parts = self.parts();
        let Some((at, mut values)) = parts
            .iter()
            .enumerate()
            .find_map(|(at, part)| facet.values(part).map(|values| (at, values)))
        else {
            parts.push(facet.term(vec![value.to_owned()], None, written));
            return Self::of_parts(parts);
        };
        match values.iter().position(|known| known == value) {
            Some(known) => {
                values.remove(known);
            }
            None => values.push(value.to_owned()),
        }
        if values.is_empty() {
            parts.remove(at);
        } else if let Some(part) = parts.get_mut(at) {
            *part = facet.term(values, Some(&*part), written);
        }
        Self::of_parts(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_in_and_out_and_the_rest_stays() {
        let env = Facet::Label("inventory.inv-tui.dev/environment".to_owned());
        for (before, facet, value, after) in [
            ("", &env, "prod", "env=prod"),
            ("web", &env, "prod", "web env=prod"),
            ("web env=prod", &env, "test", "web env in (prod,test)"),
            ("web env in (prod,test) x", &env, "prod", "web env=test x"),
            ("env=prod", &env, "prod", ""),
            ("a || b", &env, "prod", "(a || b) env=prod"),
            ("!env=prod", &env, "prod", "env!=prod env=prod"),
            ("environment=prod", &env, "test", "environment in (prod,test)"),
            ("env=*", &env, "prod", "env=* env=prod"),
            ("", &env, "a b", "env=\"a b\""),
            ("web", &Facet::State, "running", "web state:running"),
            ("state:running", &Facet::State, "stopped", "state:running,stopped"),
        ] {
            let filter = Filter::parse(before).unwrap();
            let toggled = filter.toggled(facet, "env", value);
            assert_eq!(toggled.to_string(), after, "{before}");
            assert_eq!(Filter::parse(after).unwrap(), toggled, "{after}");
            let chosen = toggled.chosen(facet).contains(&value.to_owned());
            assert_eq!(chosen, !filter.chosen(facet).contains(&value.to_owned()), "{before}");
        }
        let filter = Filter::parse("web env=prod").unwrap();
        assert_eq!(filter.without(&env).to_string(), "web");
        assert_eq!(filter.without(&Facet::State), filter);
        assert!(Filter::parse("env=prod").unwrap().without(&env).is_empty());
    }
}
