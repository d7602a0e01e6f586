//! CEL rules (`x-kubernetes-validations`).
//!
//! The language and Kubernetes' libraries come from the crate `kube-cel`. The walk over the schema
//! is ours: the crate's own escapes `_` in property names, gives list elements their old value by
//! position and binds fields that Kubernetes hides; each would give other verdicts than
//! kube-apiserver does. Not as in kube-apiserver: rules are not type-checked when a CRD is written
//! (unknown names are found), `==` on lists of type `set` and `map` looks at the order, and
//! `cel.bind`, `sortBy` and two-variable comprehensions are refused.

mod bind;
mod program;

use std::collections::BTreeSet;
use std::sync::Arc;

use kube_cel::cel::Context;
use kube_cel::cel::common::ast::{EntryExpr, Expr};
use kube_cel::cel::objects::{OptionalValue, Value as Cel};
use kube_cel::cel::parser::Expression;
use serde_json::Value;

use self::bind::bind;
use self::program::{CONTEXT, evaluate};
pub(super) use self::program::{Programs, compile};
use super::validate::{Correlated, at, cut, kind_of, member};
use super::{Additional, Place, Rule, Schema};
use crate::server::status::{Cause, MAX_CAUSES};

/// Steps (estimated, about 50 ns each) that the rules may take for one object: half a second.
const BUDGET: f64 = 1e7;
/// Length of a message that a `messageExpression` may make, as in Kubernetes.
const MAX_MESSAGE: usize = 5 * 1024;

/// Whether there is a rule anywhere in `schema`.
pub(super) fn declared(schema: &Schema) -> bool {
    !schema.rules.is_empty()
        || schema.properties.values().any(declared)
        || schema.items.as_deref().is_some_and(declared)
        || matches!(&schema.additional_properties, Some(Additional::Schema(s)) if declared(s))
}

/// Evaluates all rules for `new`, which is valid otherwise.
pub(super) fn check(schema: &Schema, new: &Value, old: Option<&Value>, out: &mut Vec<Cause>) {
    Walk { root: true, budget: BUDGET, out }.node(schema, new, old, Place::Root);
}

/// The same for a value that is no object of its own, for example a default.
pub(super) fn check_field(schema: &Schema, value: &Value, out: &mut Vec<Cause>) {
    Walk { root: false, budget: BUDGET, out }.node(schema, value, None, Place::Root);
}

/// A walk over an object.
struct Walk<'a> {
    /// Whether it begins at the root of an object.
    root: bool,
    /// Steps that are left.
    budget: f64,
    out: &'a mut Vec<Cause>,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Schema, new: &Value, old: Option<&Value>, path: Place<'_>) {
        if new.is_null() || self.budget <= 0.0 || self.out.len() >= MAX_CAUSES {
            return;
        }
        if !schema.rules.is_empty() {
            self.rules(schema, new, old, path);
        }
        match new {
            Value::Object(map) => {
                for (key, value) in map {
                    let Some(inner) = member(schema, key) else { continue };
                    let bracket = format!("[{}]", cut(key));
                    let place = if schema.properties.contains_key(key) {
                        Place::Field(&path, key)
                    } else {
                        Place::Step(&path, &bracket)
                    };
                    self.node(inner, value, old.and_then(|o| o.get(key)), place);
                }
            }
            Value::Array(list) => {
                let Some(items) = schema.items.as_deref().filter(|i| declared(i)) else { return };
                let olds = Correlated::new(schema, old);
                for (i, value) in list.iter().enumerate() {
                    self.node(items, value, olds.find(value), Place::Item(&path, i));
                }
            }
            _ => {}
        }
    }

    /// Evaluates the rules of one node.
    fn rules(&mut self, schema: &Schema, new: &Value, old: Option<&Value>, path: Place<'_>) {
        let root = self.root && path.is_root();
        let old = old.filter(|o| !o.is_null());
        let unchanged = old == Some(new);
        let runs = |rule: &Rule, programs: &Programs| {
            if programs.transition {
                old.is_some() || rule.optional_old_self == Some(true)
            } else {
                !unchanged
            }
        };
        let rules = schema.rules.iter().map(|rule| (rule, rule.programs()));
        let rules: Vec<_> = rules.filter(|(rule, p)| p.is_none_or(|p| runs(rule, p))).collect();
        if rules.is_empty() {
            return;
        }
        // Most rules look at a field or two: to bind the whole object costs more than to run them.
        let mut only = Some(BTreeSet::new());
        for (_, programs) in &rules {
            let reads = programs.and_then(|programs| programs.reads.as_ref());
            only = only.zip(reads).map(|(mut all, reads)| {
                all.extend(reads.iter().map(String::as_str));
                all
            });
        }
        let only = only.as_ref();
        let mut size = Size::default();
        size.add(new);
        let mut context = CONTEXT.new_inner_scope();
        context.add_variable_from_value("self", bind(schema, new, root, only));
        let old_self = old.map(|old| {
            size.add(old);
            bind(schema, old, root, only)
        });
        if let Some(value) = &old_self {
            context.add_variable_from_value("oldSelf", value.clone());
        }
        self.budget -= size.nodes;
        for (rule, programs) in rules {
            let Some(programs) = programs else {
                let message = format!("rule does not compile: {}", rule.rule);
                self.out.push(failure(rule, new, path, &message));
                continue;
            };
            let optional = rule.optional_old_self == Some(true);
            let mut context = context.new_inner_scope();
            if optional {
                let value = old_self.clone().map_or_else(OptionalValue::none, OptionalValue::of);
                context.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(value)));
            }
            self.budget -= size.cost(&programs.rule.expression);
            if self.budget <= 0.0 {
                let message = "validation failed due to running out of cost budget, no further \
                     validation rules will be run";
                self.out.push(failure(&Rule::default(), new, path, message));
                return;
            }
            let message = match evaluate(&programs.rule, &context) {
                Ok(Cel::Bool(true)) => continue,
                Ok(Cel::Bool(false)) => message(rule, programs, &size, &context),
                Ok(_) => "rule did not evaluate to a boolean".to_owned(),
                Err(error) => {
                    let said = if rule.message.is_empty() { &rule.rule } else { &rule.message };
                    format!("rule evaluation error: {error} evaluating rule: {said}")
                }
            };
            self.out.push(failure(rule, new, path, &message));
        }
    }
}

/// What the rule says when it does not hold.
fn message(rule: &Rule, programs: &Programs, size: &Size, context: &Context<'_>) -> String {
    if let Some(program) = &programs.message
        && size.cost(&program.expression) < BUDGET
        && let Ok(Cel::String(text)) = evaluate(program, context)
        && !text.trim().is_empty()
        && !text.contains('\n')
        && text.len() <= MAX_MESSAGE
    {
        return text.trim().to_owned();
    }
    if rule.message.is_empty() {
        format!("failed rule: {}", rule.rule)
    } else {
        rule.message.clone()
    }
}

fn failure(rule: &Rule, value: &Value, path: Place<'_>, message: &str) -> Cause {
    let field = segments(&rule.field_path).unwrap_or_default().join(".");
    let field = if field.is_empty() { at(path) } else { Place::Field(&path, &field).to_string() };
    let kind = kind_of(value);
    match rule.reason.as_str() {
        "FieldValueRequired" => Cause::required(field, message),
        "FieldValueForbidden" => Cause::forbidden(field, message),
        "FieldValueDuplicate" => {
            let message = format!("Duplicate value: \"{kind}\": {message}");
            Cause::new("FieldValueDuplicate", field, message)
        }
        _ => Cause::invalid(field, &kind.into(), message),
    }
}

/// The names in a `fieldPath`: `.spec['a-b'].c`.
pub(super) fn segments(path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let name;
        if let Some(tail) = rest.strip_prefix("['") {
            (name, rest) = tail.split_once("']")?;
        } else {
            let tail = rest.strip_prefix('.')?;
            (name, rest) = tail.split_at(tail.find(['.', '[']).unwrap_or(tail.len()));
        }
        if name.is_empty() {
            return None;
        }
        names.push(name.to_owned());
    }
    Some(names)
}

/// How much there is to compute with.
#[derive(Default)]
struct Size {
    /// Values in `self` and `oldSelf`, and what their strings count for.
    nodes: f64,
    /// Elements of the longest list or map, or characters of the longest string (which may be split).
    longest: f64,
}

impl Size {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn add(&mut self, value: &Value) {
        self.nodes += 1.0;
        let len = match value {
            Value::String(text) => {
                self.nodes += text.len() as f64 / 32.0;
                text.len() / 32
            }
            Value::Array(list) => {
                for value in list {
                    self.add(value);
                }
                list.len()
            }
            Value::Object(map) => {
                for value in map.values() {
                    self.add(value);
                }
                map.len()
            }
            _ => 0,
        };
        self.longest = self.longest.max(len as f64);
    }

    /// Steps that `e` takes at most, near enough.
    fn cost(&self, e: &Expression) -> f64 {
        match &e.expr {
            Expr::Ident(name) if name == "self" || name == "oldSelf" => self.nodes,
            Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => 1.0,
            // The interpreter copies what it selects from.
            Expr::Select(select) => 1.0 + self.cost(&select.operand),
            Expr::Call(call) => {
                let target = call.target.as_deref();
                // The crate compiles a pattern at every call.
                let regex = ["matches", "find", "findAll"].contains(&call.func_name.as_str());
                let own = if regex { 1000.0 } else { 1.0 };
                own + target.into_iter().chain(&call.args).map(|a| self.cost(a)).sum::<f64>()
            }
            Expr::List(list) => list.elements.iter().map(|e| self.cost(e)).sum::<f64>() + 1.0,
            Expr::Map(map) => {
                let entry = |entry: &EntryExpr| match entry {
                    EntryExpr::MapEntry(entry) => self.cost(&entry.key) + self.cost(&entry.value),
                    EntryExpr::StructField(field) => self.cost(&field.value),
                };
                map.entries.iter().map(|e| entry(&e.expr)).sum::<f64>() + 1.0
            }
            Expr::Comprehension(c) => {
                let step = self.cost(&c.loop_cond) + self.cost(&c.loop_step);
                // A list that grows is copied at every step.
                let copies = matches!(c.accu_init.expr, Expr::List(_) | Expr::Map(_));
                let step = if copies { step + self.longest / 8.0 } else { step };
                self.cost(&c.iter_range) + self.longest * step + self.cost(&c.result)
            }
        }
    }
}
