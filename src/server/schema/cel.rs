//! CEL rules (`x-kubernetes-validations`).
//!
//! The language and Kubernetes' libraries come from the crate `kube-cel`. The walk over the schema
//! is ours: the crate's own escapes `_` in property names, gives list elements their old value by
//! position and binds fields that Kubernetes hides; each would give other verdicts than
//! kube-apiserver does. Not as in kube-apiserver: rules are not type-checked when a CRD is written
//! (unknown names are found), `==` on lists of type `set` and `map` looks at the order, and
//! `cel.bind`, `sortBy` and two-variable comprehensions are refused.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{ComprehensionExpr, EntryExpr, Expr};
use kube_cel::cel::objects::{Key, Map, OptionalValue, Value as Cel};
use kube_cel::cel::parser::{Expression, Parser};
use kube_cel::cel::{Context, ExecutionError};
use serde_json::Value;

use super::validate::{Correlated, MAX_CAUSES, at, cut, kind_of, member};
use super::{Additional, META, Rule, Schema, child, format};
use crate::server::status::Cause;

/// Levels that an expression may have.
const MAX_DEPTH: usize = 64;
/// Levels that are evaluated on the caller's stack. A level takes up to 40 KiB of it in debug
/// builds, and threads of the runtime have 2 MiB in all.
const SHALLOW: usize = 12;
/// A stack for what may be deep: expressions to parse (the parser calls itself), and deep ones.
const STACK: usize = 64 << 20;
/// Length of an expression in bytes.
const MAX_LENGTH: usize = 16 * 1024;
/// Steps (estimated, about 50 ns each) that the rules may take for one object: half a second.
const BUDGET: f64 = 1e7;
/// Length of a message that a `messageExpression` may make, as in Kubernetes.
const MAX_MESSAGE: usize = 5 * 1024;

/// A rule's expressions, compiled.
#[derive(Debug)]
pub struct Programs {
    rule: Program,
    message: Option<Program>,
    /// Whether it compares with the old value.
    pub(super) transition: bool,
}

#[derive(Debug)]
struct Program {
    expression: Expression,
    /// Levels.
    depth: usize,
}

/// Functions and type names that rules may use.
static CONTEXT: LazyLock<Context<'static>> = LazyLock::new(|| {
    let mut context = Context::default().with_all();
    context.add_function("dyn", |value: Cel| -> Result<Cel, ExecutionError> { Ok(value) });
    // The crate has no types as values; their names compare just as well.
    context.add_function("type", |value: Cel| -> Result<Cel, ExecutionError> {
        Ok(Cel::from(type_name(&value)))
    });
    // Memory for as many elements as an object's field says is not to be had.
    context.add_function("lists.range", |n: i64| -> Result<Cel, ExecutionError> {
        if (0..=10_000).contains(&n) {
            Ok(Cel::List(Arc::new((0..n).map(Cel::Int).collect())))
        } else {
            Err(ExecutionError::function_error("lists.range", "0 to 10000 elements"))
        }
    });
    for name in TYPES {
        context.add_variable_from_value(name, Cel::from(name));
    }
    context
});

const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "dyn"];

fn type_name(value: &Cel) -> &'static str {
    match value {
        Cel::List(_) => "list",
        Cel::Map(_) => "map",
        Cel::Int(_) => "int",
        Cel::UInt(_) => "uint",
        Cel::Float(_) => "double",
        Cel::String(_) => "string",
        Cel::Bytes(_) => "bytes",
        Cel::Bool(_) => "bool",
        Cel::Duration(_) => "google.protobuf.Duration",
        Cel::Timestamp(_) => "google.protobuf.Timestamp",
        Cel::Null => "null_type",
        Cel::Function(..) | Cel::Opaque(_) => "dyn",
    }
}

/// Compiles a rule.
///
/// # Errors
///
/// The field of the rule that is wrong, and why.
pub(super) fn compile(rule: &Rule) -> Result<Programs, (&'static str, String)> {
    let compiled = parse(&rule.rule).map_err(|e| ("rule", e))?;
    let message = match rule.message_expression.as_str() {
        "" => None,
        text => Some(parse(text).map_err(|e| ("messageExpression", e))?),
    };
    let transition = compiled.expression.references().has_variable("oldSelf");
    Ok(Programs { rule: compiled, message, transition })
}

impl Rule {
    /// The compiled form; `None` if it does not compile.
    pub(super) fn programs(&self) -> Option<&Programs> {
        self.program.get(|| compile(self).ok())
    }
}

/// Parses an expression and refuses what could not be evaluated.
fn parse(text: &str) -> Result<Program, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("must be at most {MAX_LENGTH} bytes"));
    }
    // The parser finds out too, after seconds: its time grows with the square of the nesting.
    let nested = text.chars().scan(0_usize, |open, c| {
        *open = match c {
            '(' | '[' | '{' => *open + 1,
            ')' | ']' | '}' => open.saturating_sub(1),
            _ => *open,
        };
        Some(*open)
    });
    if nested.max().is_some_and(|n| n > MAX_DEPTH) {
        return Err(too_deep());
    }
    deep(|| {
        let expression = Parser::new().enable_optional_syntax(true).parse(text);
        let expression = expression.map_err(|e| {
            // Without the copies of the source between the lines.
            let text = e.to_string();
            let errors: Vec<&str> = text.lines().filter(|l| l.starts_with("ERROR")).collect();
            format!("compilation failed: {}", cut(&errors.join("; ")))
        })?;
        let depth = inspect(&expression, &mut Vec::new(), 0)?;
        Ok(Program { expression, depth })
    })
}

fn too_deep() -> String {
    format!("must be nested at most {MAX_DEPTH} levels deep")
}

/// Runs `work` on a stack of its own; a panic in it is an error like any other.
fn deep<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("cel".to_owned()).stack_size(STACK);
        let thread = builder.spawn_scoped(scope, work);
        let joined = thread.map_err(|e| e.to_string())?.join();
        joined.unwrap_or_else(|_| Err("the expression cannot be used".to_owned()))
    })
}

/// Refuses deep expressions and unknown names; returns the depth. `bound` are the variables of
/// comprehensions.
fn inspect<'a>(e: &'a Expression, bound: &mut Vec<&'a str>, depth: usize) -> Result<usize, String> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let mut deepest = depth;
    let mut inner = |e: &'a Expression, bound: &mut Vec<&'a str>| -> Result<(), String> {
        deepest = deepest.max(inspect(e, bound, depth + 1)?);
        Ok(())
    };
    match &e.expr {
        Expr::Literal(_) => {}
        Expr::Ident(name) => {
            let known = ["self", "oldSelf"].contains(&name.as_str())
                || TYPES.contains(&name.as_str())
                || name.starts_with('@')
                || bound.contains(&name.as_str());
            if !known {
                return Err(format!("undeclared reference to '{name}'"));
            }
        }
        Expr::Select(select) => inner(&select.operand, bound)?,
        Expr::Call(call) => {
            let library = match call.target.as_deref().map(|t| &t.expr) {
                Some(Expr::Ident(name)) if !bound.contains(&name.as_str()) => Some(name.as_str()),
                _ => None,
            };
            known_function(library, &call.func_name)?;
            let target = call.target.as_deref();
            for part in target.filter(|_| !is_library(library)).into_iter().chain(&call.args) {
                inner(part, bound)?;
            }
        }
        Expr::List(list) => list.elements.iter().try_for_each(|e| inner(e, bound))?,
        Expr::Map(map) => {
            for entry in &map.entries {
                let EntryExpr::MapEntry(entry) = &entry.expr else {
                    return Err("messages are not supported".to_owned());
                };
                inner(&entry.key, bound)?;
                inner(&entry.value, bound)?;
            }
        }
        Expr::Comprehension(comprehension) => {
            let ComprehensionExpr { iter_var, iter_var2, accu_var, .. } = &**comprehension;
            if iter_var2.is_some() {
                return Err("comprehensions with two variables are not supported".to_owned());
            }
            inner(&comprehension.iter_range, bound)?;
            inner(&comprehension.accu_init, bound)?;
            let outer = bound.len();
            bound.extend([iter_var.as_str(), accu_var.as_str()]);
            inner(&comprehension.loop_cond, bound)?;
            inner(&comprehension.loop_step, bound)?;
            inner(&comprehension.result, bound)?;
            bound.truncate(outer);
        }
        Expr::Struct(_) | Expr::Unspecified => return Err("messages are not supported".to_owned()),
    }
    Ok(deepest)
}

/// First parts of qualified function names: `sets.contains`.
const LIBRARIES: [&str; 11] = [
    "base64",
    "format",
    "ip",
    "jsonpatch",
    "lists",
    "math",
    "optional",
    "sets",
    "strings",
    "cidr",
    "url",
];

fn is_library(name: Option<&str>) -> bool {
    name.is_some_and(|name| LIBRARIES.contains(&name))
}

/// Asks the context by a call without arguments: an unknown function is told from a bad call.
fn known_function(library: Option<&str>, name: &str) -> Result<(), String> {
    // Operators are no functions of the context.
    if name.starts_with(['_', '@', '!', '-']) {
        return Ok(());
    }
    let known = |name: String| {
        let call = kube_cel::cel::common::ast::CallExpr { func_name: name, ..Default::default() };
        let call = Expression { id: 0, expr: Expr::Call(call) };
        let answer = catch_unwind(|| Cel::resolve(&call, &CONTEXT));
        !matches!(answer, Ok(Err(ExecutionError::UndeclaredReference(_))))
    };
    let qualified = library.is_some_and(|library| known(format!("{library}.{name}")));
    if qualified || !is_library(library) && known(name.to_owned()) {
        Ok(())
    } else {
        Err(format!("undeclared reference to '{name}' (in function call)"))
    }
}

/// Whether there is a rule anywhere in `schema`.
pub(super) fn declared(schema: &Schema) -> bool {
    !schema.rules.is_empty()
        || schema.properties.values().any(declared)
        || schema.items.as_deref().is_some_and(declared)
        || matches!(&schema.additional_properties, Some(Additional::Schema(s)) if declared(s))
}

/// Evaluates all rules for `new`, which is valid otherwise.
pub(super) fn check(schema: &Schema, new: &Value, old: Option<&Value>, out: &mut Vec<Cause>) {
    Walk { root: true, budget: BUDGET, out }.node(schema, new, old, "");
}

/// The same for a value that is no object of its own, for example a default.
pub(super) fn check_field(schema: &Schema, value: &Value, out: &mut Vec<Cause>) {
    Walk { root: false, budget: BUDGET, out }.node(schema, value, None, "");
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
    fn node(&mut self, schema: &Schema, new: &Value, old: Option<&Value>, path: &str) {
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
                    let path = if schema.properties.contains_key(key) {
                        child(path, key)
                    } else {
                        format!("{path}[{key}]")
                    };
                    self.node(inner, value, old.and_then(|o| o.get(key)), &path);
                }
            }
            Value::Array(list) => {
                let Some(items) = schema.items.as_deref().filter(|i| declared(i)) else { return };
                let olds = Correlated::new(schema, old);
                for (i, value) in list.iter().enumerate() {
                    self.node(items, value, olds.find(value), &format!("{path}[{i}]"));
                }
            }
            _ => {}
        }
    }

    /// Evaluates the rules of one node.
    fn rules(&mut self, schema: &Schema, new: &Value, old: Option<&Value>, path: &str) {
        let root = self.root && path.is_empty();
        let old = old.filter(|o| !o.is_null());
        let unchanged = old == Some(new);
        let mut size = Size::default();
        size.add(new);
        let mut context = CONTEXT.new_inner_scope();
        context.add_variable_from_value("self", bind(schema, new, root));
        let old_self = old.map(|old| {
            size.add(old);
            bind(schema, old, root)
        });
        if let Some(value) = &old_self {
            context.add_variable_from_value("oldSelf", value.clone());
        }
        self.budget -= size.nodes;
        for rule in &schema.rules {
            let Some(programs) = rule.programs() else {
                let message = format!("rule does not compile: {}", rule.rule);
                self.out.push(failure(rule, new, path, &message));
                continue;
            };
            let optional = rule.optional_old_self == Some(true);
            let skip = if programs.transition { old.is_none() && !optional } else { unchanged };
            if skip {
                continue;
            }
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

/// Evaluates `program`; a panic of the interpreter is an error like any other.
fn evaluate(program: &Program, context: &Context<'_>) -> Result<Cel, String> {
    let work = || Cel::resolve(&program.expression, context).map_err(|e| cut(&e.to_string()));
    if program.depth > SHALLOW {
        return deep(work);
    }
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the expression cannot be used".to_owned()))
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

fn failure(rule: &Rule, value: &Value, path: &str, message: &str) -> Cause {
    let field = match segments(&rule.field_path) {
        Some(segments) => segments.iter().fold(path.to_owned(), |path, name| child(&path, name)),
        None => path.to_owned(),
    };
    let kind = kind_of(value);
    match rule.reason.as_str() {
        "FieldValueRequired" => Cause::required(at(&field), message),
        "FieldValueForbidden" => Cause::forbidden(at(&field), message),
        "FieldValueDuplicate" => {
            let message = format!("Duplicate value: \"{kind}\": {message}");
            Cause::new("FieldValueDuplicate", at(&field), message)
        }
        _ => Cause::invalid(at(&field), &kind.into(), message),
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

/// Words that cannot be field names in CEL.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A property's name in CEL, as Kubernetes escapes it (apiserver `pkg/cel/escaping.go`).
fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

/// `value` as rules see it: fields of the schema only, a null field is an absent one, of the
/// metadata only the names.
fn bind(schema: &Schema, value: &Value, root: bool) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) if schema.type_ == "number" => Cel::Float(n.as_f64().unwrap_or(f64::NAN)),
        Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), ..) => Cel::Int(n),
            (_, Some(n), _) => Cel::UInt(n),
            #[expect(clippy::cast_possible_truncation, reason = "within 2^53, and whole")]
            (.., Some(n)) if n.fract() == 0.0 && n.abs() < 9e15 => Cel::Int(n as i64),
            (.., n) => Cel::Float(n.unwrap_or(f64::NAN)),
        },
        Value::String(text) => string(&schema.format, text),
        Value::Array(list) => {
            let Some(items) = &schema.items else { return Cel::List(Arc::default()) };
            Cel::List(Arc::new(list.iter().map(|v| bind(items, v, false)).collect()))
        }
        Value::Object(map) => {
            let mut fields = HashMap::new();
            let mut put =
                |name: String, value: Cel| fields.insert(Key::String(Arc::new(name)), value);
            let resource = root || schema.embedded_resource;
            if resource {
                for name in META {
                    put(name.to_owned(), meta(name, map.get(name)));
                }
            }
            for (key, value) in map {
                if resource && META.contains(&key.as_str()) {
                    continue;
                }
                match (schema.properties.get(key), &schema.additional_properties) {
                    (Some(_), _) if value.is_null() => {}
                    (Some(inner), _) => {
                        put(escape(key), bind(inner, value, false));
                    }
                    (None, Some(Additional::Schema(inner))) => {
                        put(key.clone(), bind(inner, value, false));
                    }
                    _ => {}
                }
            }
            Cel::Map(Map { map: Arc::new(fields) })
        }
    }
}

/// `apiVersion`, `kind`, or the names in `metadata`.
fn meta(name: &str, value: Option<&Value>) -> Cel {
    if name != "metadata" {
        return Cel::from(value.and_then(Value::as_str).unwrap_or_default());
    }
    let names = ["name", "generateName"].into_iter().filter_map(|name| {
        let text = value?.get(name)?.as_str()?;
        Some((Key::from(name), Cel::from(text)))
    });
    Cel::Map(Map { map: Arc::new(names.collect()) })
}

/// Strings of some formats are values of their own in CEL.
fn string(format: &str, text: &str) -> Cel {
    let special = match format {
        // chrono is the crate's time library; its types are named by inference only.
        "date-time" | "datetime" => text.parse().ok().map(Cel::Timestamp),
        "date" if format::date(text) => {
            format!("{text}T00:00:00Z").parse().ok().map(Cel::Timestamp)
        }
        "duration" => format::duration(text).and_then(duration),
        "byte" => {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            bytes.ok().map(|bytes| Cel::Bytes(Arc::new(bytes)))
        }
        _ => None,
    };
    special.unwrap_or_else(|| Cel::from(text))
}

fn duration(nanos: i64) -> Option<Cel> {
    let Ok(Cel::Timestamp(zero)) = "1970-01-01T00:00:00Z".parse().map(Cel::Timestamp) else {
        return None;
    };
    let later = zero + std::time::Duration::from_nanos(nanos.unsigned_abs());
    Some(Cel::Duration(if nanos < 0 { zero - later } else { later - zero }))
}
