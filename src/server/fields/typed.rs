//! Objects and their schema: which fields they set, how two of them differ, how one is merged into
//! the other.
//!
//! The rules are those of Kubernetes' structured-merge-diff: lists are one value (`atomic`, also if
//! nothing is said), a `set` of scalars or a `map` of objects with keys; objects are taken apart
//! unless their map type is `atomic`. What no schema describes is known by its value: objects are
//! taken apart, lists are one value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::set::{Element, MAX_DEPTH, Set};
use crate::server::schema::{Additional, Place, Schema};

/// How two objects differ.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Fields that the new one has and the old one has not, or with another value.
    pub changed: Set,
    /// Fields that only the old one has.
    pub removed: Set,
}

/// What is known of a value from its schema.
#[derive(Clone, Copy)]
pub struct Type<'s> {
    /// `None`: nothing.
    schema: Option<&'s Schema>,
    /// Whether unknown fields are kept here or anywhere above.
    preserve: bool,
    /// Whether it is an object with apiVersion, kind and metadata.
    resource: bool,
    /// Steps from the root.
    depth: usize,
}

/// How a value is taken apart.
enum Shape<'s> {
    /// Not at all.
    Leaf,
    /// By its fields.
    Map,
    /// By its elements; without keys, they are scalars.
    List(&'s [String]),
}

static METADATA: LazyLock<Schema> = LazyLock::new(|| {
    let of = |type_: &str| Schema { type_: type_.to_owned(), ..Schema::default() };
    let list = |list_type: &str, items: Schema| Schema {
        list_type: list_type.to_owned(),
        items: Some(Box::new(items)),
        ..of("array")
    };
    let strings = Schema {
        additional_properties: Some(Additional::Schema(Box::new(of("string")))),
        ..of("object")
    };
    let fields = |list: &[(&str, &str)]| {
        list.iter().map(|(name, type_)| ((*name).to_owned(), of(type_))).collect()
    };
    let owner = Schema {
        properties: fields(&[
            ("apiVersion", "string"),
            ("blockOwnerDeletion", "boolean"),
            ("controller", "boolean"),
            ("kind", "string"),
            ("name", "string"),
            ("uid", "string"),
        ]),
        map_type: "atomic".to_owned(),
        ..of("object")
    };
    let mut properties: BTreeMap<String, Schema> = fields(&[
        ("creationTimestamp", "string"),
        ("deletionGracePeriodSeconds", "integer"),
        ("deletionTimestamp", "string"),
        ("generateName", "string"),
        ("generation", "integer"),
        ("name", "string"),
        ("namespace", "string"),
        ("resourceVersion", "string"),
        ("selfLink", "string"),
        ("uid", "string"),
    ]);
    properties.insert("annotations".to_owned(), strings.clone());
    properties.insert("labels".to_owned(), strings);
    properties.insert("finalizers".to_owned(), list("set", of("string")));
    properties.insert("managedFields".to_owned(), list("atomic", Schema::default()));
    let owners = Schema { list_map_keys: vec!["uid".to_owned()], ..list("map", owner) };
    properties.insert("ownerReferences".to_owned(), owners);
    Schema { properties, ..of("object") }
});

static STRING: LazyLock<Schema> =
    LazyLock::new(|| Schema { type_: "string".to_owned(), ..Schema::default() });

impl<'s> Type<'s> {
    /// The type of the objects of a kind.
    pub fn resource(schema: &'s Schema) -> Self {
        Self {
            schema: Some(schema),
            preserve: schema.preserve_unknown_fields,
            resource: true,
            depth: 0,
        }
    }

    fn child(self, schema: Option<&'s Schema>) -> Self {
        let says = |f: fn(&Schema) -> bool| schema.is_some_and(f);
        Self {
            schema,
            preserve: self.preserve || says(|s| s.preserve_unknown_fields),
            resource: says(|s| s.embedded_resource),
            depth: self.depth + 1,
        }
    }

    /// The type of the field `name`, and whether the schema names it; `None` if it is unknown.
    fn field(self, name: &str) -> Option<(Self, bool)> {
        if self.resource && name == "metadata" {
            return Some((self.child(Some(&METADATA)), true));
        }
        if self.resource && matches!(name, "apiVersion" | "kind") {
            return Some((self.child(Some(&STRING)), true));
        }
        let Some(schema) = self.schema else { return Some((self.child(None), false)) };
        if let Some(known) = schema.properties.get(name) {
            return Some((self.child(Some(known)), true));
        }
        match &schema.additional_properties {
            Some(Additional::Schema(values)) => Some((self.child(Some(values)), false)),
            Some(Additional::Any(any)) => any.then(|| (self.child(None), false)),
            None => {
                (self.preserve || schema.properties.is_empty()).then(|| (self.child(None), false))
            }
        }
    }

    /// As `field`, for a value that was checked before.
    fn field_or_any(self, name: &str) -> (Self, bool) {
        self.field(name).unwrap_or_else(|| (self.child(None), false))
    }

    /// The type of the elements of a list.
    fn item(self) -> Self {
        self.child(self.schema.and_then(|s| s.items.as_deref()))
    }

    /// The declared type: `""` means any.
    fn name(self) -> &'s str {
        match self.schema {
            Some(schema) if !schema.int_or_string => &schema.type_,
            _ => "",
        }
    }

    fn shape(self, value: &Value) -> Shape<'s> {
        if self.depth >= MAX_DEPTH {
            return Shape::Leaf;
        }
        match (self.name(), value) {
            ("object" | "", Value::Object(_) | Value::Null) => match self.schema {
                Some(schema) if schema.map_type == "atomic" => Shape::Leaf,
                _ => Shape::Map,
            },
            ("array", Value::Array(_) | Value::Null) | ("", Value::Array(_)) => match self.schema {
                Some(schema) if schema.list_type == "set" => Shape::List(&[]),
                Some(schema) if schema.list_type == "map" && !schema.list_map_keys.is_empty() => {
                    Shape::List(&schema.list_map_keys)
                }
                _ => Shape::Leaf,
            },
            _ => Shape::Leaf,
        }
    }

    /// How the list names this element.
    fn element(self, keys: &[String], item: &Value) -> Result<Element, String> {
        match item {
            Value::Object(item) if !keys.is_empty() => {
                let mut values = Map::new();
                let properties =
                    self.schema.and_then(|s| s.items.as_deref()).map(|s| &s.properties);
                for key in keys {
                    let default = || properties?.get(key)?.default.as_ref();
                    let value = item.get(key).or_else(default).ok_or_else(|| {
                        format!("associative list with keys has an element that omits key field {key:?} (and doesn't have default value)")
                    })?;
                    values.insert(key.clone(), value.clone());
                }
                Ok(Element::key(values))
            }
            _ if !keys.is_empty() => {
                Err("associative list with keys may not have non-map elements".to_owned())
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err("associative list without keys may only have scalar elements".to_owned())
            }
            scalar => Ok(Element::value(scalar)),
        }
    }

    /// The elements of a list under their names, in order. `None` if one of them has none.
    fn elements<'v>(self, keys: &[String], list: &'v Value) -> Option<Vec<(Element, &'v Value)>> {
        let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().map(|item| Some((self.element(keys, item).ok()?, item))).collect()
    }

    /// The fields that `value` sets.
    pub fn fields(self, value: &Value) -> Set {
        match self.shape(value) {
            Shape::Leaf => Set::leaf(),
            Shape::Map => {
                let mut set = Set::default();
                for (name, value) in value.as_object().into_iter().flatten() {
                    let (type_, declared) = self.field_or_any(name);
                    let mut child = type_.fields(value);
                    // An empty list too, unlike in Kubernetes: or applying one twice is not the same
                    // as once.
                    child.here |= !declared || is_empty(value);
                    set.put(Element::field(name), child);
                }
                set
            }
            Shape::List(keys) => {
                let Some(items) = self.elements(keys, value) else { return Set::leaf() };
                let mut set = Set::default();
                for (element, item) in items {
                    // Of elements that are there twice only the fact is owned.
                    let twice = set.children.contains_key(&element);
                    let child = if twice { Set::leaf() } else { self.item().fields(item) };
                    set.put(element, Set { here: true, ..child });
                }
                set
            }
        }
    }

    /// How `new` differs from `old`; `None` is a value that is not there.
    pub fn compare(self, old: Option<&Value>, new: Option<&Value>) -> Comparison {
        let mut result = Comparison::default();
        if old == new {
            return result;
        }
        let null = &Value::Null;
        let (shape_old, shape_new) = match (old, new) {
            (Some(old), Some(new)) => (self.shape(old), self.shape(new)),
            (one, two) => {
                let there = one.or(two).unwrap_or(null);
                (self.shape(there), self.shape(there))
            }
        };
        let (before, after) = (old.unwrap_or(null), new.unwrap_or(null));
        let leaf = match (shape_old, shape_new) {
            (Shape::List(keys), Shape::List(_)) => {
                (is_empty(before) && is_empty(after))
                    || !self.compare_lists(keys, before, after, &mut result)
            }
            (Shape::Map, Shape::Map) if is_empty(before) && is_empty(after) => true,
            // Two kinds of values: what is inside the one goes, what is inside the other comes.
            (old, new) => {
                let part = |shape, value| matches!(shape, Shape::Map).then_some(value);
                let both = matches!((&old, &new), (Shape::Map, Shape::Map));
                self.compare_maps(part(old, before), part(new, after), &mut result);
                !both
            }
        };
        // A leaf, or something with parts that came or went as a whole.
        match (old, new) {
            (_, None) => result.removed.here = true,
            (None, _) => result.changed.here = true,
            _ => result.changed.here = leaf,
        }
        result
    }

    fn compare_maps(self, old: Option<&Value>, new: Option<&Value>, result: &mut Comparison) {
        let old = old.and_then(Value::as_object);
        let new = new.and_then(Value::as_object);
        let mut one = |name: &String, before: Option<&Value>, after: Option<&Value>| {
            let below = self.field_or_any(name).0.compare(before, after);
            if !(below.changed.is_empty() && below.removed.is_empty()) {
                result.put(Element::field(name), below);
            }
        };
        for (name, before) in old.into_iter().flatten() {
            one(name, Some(before), new.and_then(|new| new.get(name)));
        }
        for (name, after) in new.into_iter().flatten() {
            if old.is_none_or(|old| !old.contains_key(name)) {
                one(name, None, Some(after));
            }
        }
    }

    /// False if the lists cannot be taken apart.
    fn compare_lists(
        self,
        keys: &[String],
        old: &Value,
        new: &Value,
        result: &mut Comparison,
    ) -> bool {
        let (Some(old), Some(new)) = (self.elements(keys, old), self.elements(keys, new)) else {
            return false;
        };
        let (old, new) = (grouped(old), grouped(new));
        for (element, before) in &old {
            let comparison = match (before.as_slice(), new.get(element).map(Vec::as_slice)) {
                ([before], Some([after])) => self.item().compare(Some(before), Some(after)),
                ([before], None) => self.item().compare(Some(before), None),
                (_, None) => Comparison { removed: Set::leaf(), ..Comparison::default() },
                (before, Some(after)) if before == after => continue,
                _ => Comparison { changed: Set::leaf(), ..Comparison::default() },
            };
            result.put(element.clone(), comparison);
        }
        for (element, after) in new {
            if !old.contains_key(&element) {
                let comparison = match after.as_slice() {
                    [after] => self.item().compare(None, Some(after)),
                    _ => Comparison { changed: Set::leaf(), ..Comparison::default() },
                };
                result.put(element, comparison);
            }
        }
        true
    }

    /// `live` with all that `config` sets.
    pub fn merge(self, live: &Value, config: &Value) -> Value {
        match self.shape(config) {
            Shape::Leaf => config.clone(),
            // Null says nothing of what is inside.
            Shape::Map if config.is_null() && !live.is_object() => Value::Null,
            Shape::List(_) if config.is_null() && !live.is_array() => Value::Null,
            Shape::Map => {
                let mut merged = live.as_object().cloned().unwrap_or_default();
                for (name, value) in config.as_object().into_iter().flatten() {
                    let value = match merged.get(name) {
                        Some(live) => self.field_or_any(name).0.merge(live, value),
                        None => value.clone(),
                    };
                    merged.insert(name.clone(), value);
                }
                Value::Object(merged)
            }
            Shape::List(keys) => self.merge_lists(keys, live, config),
        }
    }

    /// Elements that `config` has stand in its order, and the others where they stood between them.
    fn merge_lists(self, keys: &[String], live: &Value, config: &Value) -> Value {
        let (Some(live), Some(config)) = (self.elements(keys, live), self.elements(keys, config))
        else {
            return config.clone();
        };
        let ours = grouped(live.clone());
        let wanted = grouped(config.clone());
        let merged = |element: &Element, value: &Value| match ours.get(element).map(Vec::as_slice) {
            Some([live]) => self.item().merge(live, value),
            _ => value.clone(),
        };
        let mut list = Vec::with_capacity(live.len() + config.len());
        let mut shared = config.iter().filter(|(element, _)| ours.contains_key(element));
        let mut rest = config.iter();
        for (element, value) in live {
            if !wanted.contains_key(&element) {
                list.push(value.clone());
            } else if let Some((next, _)) = shared.next() {
                // One place of a shared element: the next of them in the wanted order, with the new
                // ones that are wanted before it.
                for (element, value) in rest.by_ref() {
                    list.push(merged(element, value));
                    if element == next {
                        break;
                    }
                }
            }
        }
        list.extend(rest.map(|(element, value)| merged(element, value)));
        Value::Array(list)
    }

    /// `value` without the fields of `gone`. What has nothing left inside goes too, `None` at the
    /// root, unless it is in `keep`.
    pub fn remove(self, value: Value, gone: &Set, keep: Option<&Set>) -> Option<Value> {
        let keep_here = keep.is_some_and(|keep| keep.here);
        let kept_below = |element: &Element| keep.and_then(|keep| keep.children.get(element));
        match (self.shape(&value), value) {
            (Shape::Map, Value::Object(mut fields)) => {
                for (element, child) in &gone.children {
                    let Some(name) = element.as_field() else { continue };
                    let (type_, _) = self.field_or_any(name);
                    if let Some(value) = fields.remove(name)
                        && !child.here
                        && let Some(value) = type_.remove(value, child, kept_below(element))
                    {
                        fields.insert(name.to_owned(), value);
                    }
                }
                (keep_here || !fields.is_empty()).then_some(Value::Object(fields))
            }
            (Shape::List(keys), Value::Array(items)) => {
                let mut left = Vec::with_capacity(items.len());
                for item in items {
                    let element = self.element(keys, &item).ok();
                    match element.and_then(|e| gone.children.get_key_value(&e)) {
                        None => left.push(item),
                        Some((_, child)) if child.here => {}
                        Some((element, child)) => {
                            let mut child = child.clone();
                            // An element that stays keeps its name.
                            for key in keys {
                                child.children.remove(&Element::field(key));
                            }
                            left.extend(self.item().remove(item, &child, kept_below(element)));
                        }
                    }
                }
                (keep_here || !left.is_empty()).then_some(Value::Array(left))
            }
            (_, value) => Some(value),
        }
    }

    /// `set` with all fields named by the schema that lie above fields of the set: who owns
    /// `.spec.cpu` also wants `.spec`. This is not so for keys of maps and elements of lists.
    pub fn named(self, set: &Set) -> Set {
        let mut all = Set { here: set.here, children: BTreeMap::new() };
        for (element, child) in &set.children {
            let (type_, declared) = match element.as_field() {
                Some(name) => self.field_or_any(name),
                None => (self.item(), false),
            };
            let mut child = type_.named(child);
            child.here |= declared;
            all.children.insert(element.clone(), child);
        }
        all
    }

    /// Checks that `value` is what the schema says, as far as ownership needs it.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn check(self, value: &Value) -> Result<(), String> {
        let mut errors = Vec::new();
        self.check_at(Place::Root, value, &mut errors);
        match errors.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            more => Err(format!("errors:\n  {}", more.join("\n  "))),
        }
    }

    fn check_at(self, place: Place<'_>, value: &Value, errors: &mut Vec<String>) {
        /// Nobody reads more.
        const MOST: usize = 10;
        if errors.len() >= MOST {
            return;
        }
        let expected = match (self.name(), value) {
            (_, Value::Null)
            | ("", _)
            | ("object", Value::Object(_))
            | ("array", Value::Array(_))
            | ("string", Value::String(_))
            | ("boolean", Value::Bool(_))
            | ("integer" | "number", Value::Number(_)) => None,
            ("object", _) => Some("map"),
            ("array", _) => Some("list"),
            ("integer" | "number", _) => Some("numeric (int or float)"),
            (other, _) => Some(other),
        };
        if let Some(expected) = expected {
            let got: String = value.to_string().chars().take(80).collect();
            errors.push(format!("{}: expected {expected}, got {got}", dotted(place)));
            return;
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some((type_, _)) = self.field(name) {
                        type_.check_at(Place::Field(&place, name), value, errors);
                    } else if errors.len() < MOST {
                        let place = dotted(Place::Field(&place, name));
                        errors.push(format!("{place}: field not declared in schema"));
                    }
                }
            }
            Value::Array(items) => {
                let keys = match self.shape(value) {
                    Shape::List(keys) => Some(keys),
                    _ => None,
                };
                let mut seen = BTreeSet::new();
                for (i, item) in items.iter().enumerate() {
                    if errors.len() >= MOST {
                        return;
                    }
                    let element = match keys.map(|keys| self.element(keys, item)) {
                        None => None,
                        Some(Err(e)) => {
                            errors.push(format!("{}: element {i}: {e}", dotted(place)));
                            return;
                        }
                        Some(Ok(element)) => {
                            if !seen.insert(element.clone()) {
                                errors.push(format!(
                                    "{}: duplicate entries for key {element}",
                                    dotted(place)
                                ));
                            }
                            Some(element)
                        }
                    };
                    let at = match &element {
                        Some(element) => Place::Step(&place, element),
                        None => Place::Item(&place, i),
                    };
                    self.item().check_at(at, item, errors);
                }
            }
            _ => {}
        }
    }
}

impl Comparison {
    fn put(&mut self, element: Element, below: Self) {
        self.removed.put(element.clone(), below.removed);
        self.changed.put(element, below.changed);
    }
}

/// A place as structured-merge-diff writes it, with a dot before it.
fn dotted(place: Place<'_>) -> String {
    if matches!(place, Place::Root) { String::new() } else { format!(".{place}") }
}

fn grouped(items: Vec<(Element, &Value)>) -> BTreeMap<Element, Vec<&Value>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for (element, value) in items {
        groups.entry(element).or_default().push(value);
    }
    groups
}

/// Nothing inside: null, `{}` or `[]`. (Null is a valid map and a valid list.)
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
