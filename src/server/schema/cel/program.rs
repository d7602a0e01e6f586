//! Rules as programs: parsed, inspected, and evaluated within bounds.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr};
use kube_cel::cel::objects::Value as Cel;
use kube_cel::cel::parser::{Expression, Parser};
use kube_cel::cel::{Context, ExecutionError};

use super::bind::escape;
use crate::guard::guarded;
use crate::server::schema::validate::cut;
use crate::server::schema::{META, Rule, Schema};

/// Levels that an expression may have.
const MAX_DEPTH: usize = 64;
/// Levels that are evaluated on the caller's stack. A level takes up to 40 KiB of it in debug
/// builds, and threads of the runtime have 2 MiB in all.
const SHALLOW: usize = 12;
/// A stack for what may be deep: expressions to parse (the parser calls itself), and deep ones.
const STACK: usize = 64 << 20;
/// Length of an expression in bytes.
const MAX_LENGTH: usize = 16 * 1024;

/// What is said when the interpreter panics.
const UNUSABLE: &str = "the expression cannot be used";

/// A rule's expressions, compiled.
#[derive(Debug)]
pub struct Programs {
    pub(super) rule: Program,
    pub(super) message: Option<Program>,
    /// The fields of `self` and `oldSelf` that are read; `None` if it may be all of them.
    pub(super) reads: Option<BTreeSet<String>>,
    /// Whether it compares with the old value.
    pub(in crate::server::schema) transition: bool,
}

/// An expression that was found fit to be evaluated.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) expression: Expression,
    /// Levels.
    depth: usize,
}

/// Functions and type names that rules may use.
pub(super) static CONTEXT: LazyLock<Context<'static>> = LazyLock::new(|| {
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
pub(in crate::server::schema) fn compile(rule: &Rule) -> Result<Programs, (&'static str, String)> {
    let compiled = parse(&rule.rule).map_err(|e| ("rule", e))?;
    let message = match rule.message_expression.as_str() {
        "" => None,
        text => Some(parse(text).map_err(|e| ("messageExpression", e))?),
    };
    let transition = compiled.expression.references().has_variable("oldSelf");
    let mut fields = BTreeSet::new();
    let known = [Some(&compiled), message.as_ref()]
        .into_iter()
        .flatten()
        .all(|p| reads(&p.expression, &mut fields));
    Ok(Programs { rule: compiled, message, reads: known.then_some(fields), transition })
}

impl Rule {
    /// The compiled form; `None` if it does not compile.
    pub(in crate::server::schema) fn programs(&self) -> Option<&Programs> {
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
        let thread = builder.spawn_scoped(scope, || guarded(work));
        let joined = thread.map_err(|e| e.to_string())?.join();
        joined.ok().and_then(Result::ok).unwrap_or_else(|| Err(UNUSABLE.to_owned()))
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

impl Programs {
    /// A field that the rule looks for in `self` and the schema of `self` does not have.
    pub(in crate::server::schema) fn unknown_field(&self, schema: &Schema) -> Option<String> {
        let mut unknown = None;
        for program in std::iter::once(&self.rule).chain(&self.message) {
            fields(&program.expression, schema, &mut unknown);
        }
        unknown
    }
}

/// Looks at each field that an expression selects.
fn fields(e: &Expression, schema: &Schema, unknown: &mut Option<String>) {
    let mut inner = |e: &Expression| fields(e, schema, unknown);
    match &e.expr {
        Expr::Select(select) => {
            inner(&select.operand);
            let closed = schema_of(&select.operand, schema).filter(|s| {
                s.type_ == "object"
                    && s.additional_properties.is_none()
                    && !s.preserve_unknown_fields
            });
            if closed.is_some_and(|s| property(s, &select.field).is_none())
                && !META.contains(&select.field.as_str())
            {
                unknown.get_or_insert_with(|| select.field.clone());
            }
        }
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(inner),
        Expr::List(list) => list.elements.iter().for_each(inner),
        Expr::Map(map) => {
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    inner(&entry.key);
                    inner(&entry.value);
                }
            }
        }
        Expr::Comprehension(c) => {
            let parts = [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result];
            parts.into_iter().for_each(inner);
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// The schema of `self.a.b`; none for anything else.
fn schema_of<'a>(e: &Expression, schema: &'a Schema) -> Option<&'a Schema> {
    match &e.expr {
        Expr::Ident(name) if name == "self" => Some(schema),
        Expr::Select(select) => property(schema_of(&select.operand, schema)?, &select.field),
        _ => None,
    }
}

/// A property by the name that rules call it by.
fn property<'a>(schema: &'a Schema, name: &str) -> Option<&'a Schema> {
    schema.properties.iter().find(|(key, _)| escape(key) == name).map(|(_, inner)| inner)
}

/// Collects the fields that are selected of `self` and `oldSelf`. False: they are used as a whole.
fn reads(e: &Expression, fields: &mut BTreeSet<String>) -> bool {
    let whole = |e: &Expression| matches!(&e.expr, Expr::Ident(name) if name == "self" || name == "oldSelf");
    match &e.expr {
        Expr::Literal(_) => true,
        Expr::Ident(_) => !whole(e),
        Expr::Select(select) if whole(&select.operand) => {
            fields.insert(select.field.clone());
            true
        }
        Expr::Select(select) => reads(&select.operand, fields),
        Expr::Call(call) => {
            call.target.as_deref().into_iter().chain(&call.args).all(|e| reads(e, fields))
        }
        Expr::List(list) => list.elements.iter().all(|e| reads(e, fields)),
        Expr::Comprehension(c) => {
            [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
                .into_iter()
                .all(|e| reads(e, fields))
        }
        Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => false,
    }
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
        let call = CallExpr { func_name: name, ..Default::default() };
        let call = Expression { id: 0, expr: Expr::Call(call) };
        let answer = guarded(|| Cel::resolve(&call, &CONTEXT));
        !matches!(answer, Ok(Err(ExecutionError::UndeclaredReference(_))))
    };
    let qualified = library.is_some_and(|library| known(format!("{library}.{name}")));
    if qualified || !is_library(library) && known(name.to_owned()) {
        Ok(())
    } else {
        Err(format!("undeclared reference to '{name}' (in function call)"))
    }
}

/// Evaluates `program`; a panic of the interpreter is an error like any other.
pub(super) fn evaluate(program: &Program, context: &Context<'_>) -> Result<Cel, String> {
    let work = || Cel::resolve(&program.expression, context).map_err(|e| cut(&e.to_string()));
    if program.depth > SHALLOW {
        return deep(work);
    }
    guarded(work).unwrap_or_else(|_| Err(UNUSABLE.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_reads_is_known_before_it_runs() {
        let reads = |rule: &str| {
            let rule = Rule { rule: rule.to_owned(), ..Rule::default() };
            compile(&rule)
                .unwrap()
                .reads
                .map(|fields| fields.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(
            reads("self.a == oldSelf.b && (has(self.c.d) || [1].all(x, x < self.e[0]))").unwrap(),
            "a b c e"
        );
        assert_eq!(reads("1 == 1").unwrap(), "");
        for whole in [
            "self.all(k, k != '')",
            "size(self) > 1",
            "self['a'] == 1",
            "self == oldSelf",
            "'a' in self",
            "[1].all(x, x in self)",
            "{'a': self}.a.b",
            "self.?a.hasValue()",
        ] {
            assert_eq!(reads(whole), None, "{whole}");
        }
        let rule = Rule {
            rule: "self.a".to_owned(),
            message_expression: "string(self.b)".to_owned(),
            ..Rule::default()
        };
        assert_eq!(compile(&rule).unwrap().reads.unwrap().len(), 2);
    }
}
