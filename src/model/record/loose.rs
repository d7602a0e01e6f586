//! Reading that goes on after a wrong value: it is noted with its path, and its place stays empty.
//!
//! Only text that is no JSON at all ends the reading. Of a key that stands twice the last counts,
//! as in `serde_json` and in Go.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value,
};

use crate::model::host::{AddressType, HoldMode, Phase, RunState, ServiceState};

/// The first thing that could not be read.
#[derive(Default)]
pub(super) struct Problem(Option<Note>);

struct Note {
    path: String,
    what: String,
}

impl Problem {
    /// Notes what is wrong with the value that is being read, if nothing was wrong so far.
    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.0.is_none() {
            self.0 = Some(Note { path: String::new(), what: what() });
        }
    }

    /// Reads something inside: what is noted there gets `name` before its path.
    pub(super) fn inside<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let clear = self.0.is_none();
        let out = read(self);
        if clear && let Some(note) = &mut self.0 {
            let dot = if note.path.is_empty() { "" } else { "." };
            note.path = format!("{name}{dot}{}", note.path);
        }
        out
    }

    /// The problem as one sentence, `spec.role is not a string`.
    pub(super) fn into_message(self) -> Option<String> {
        self.0.map(|note| {
            let path = if note.path.is_empty() { "the object" } else { &note.path };
            format!("{path} {}", note.what)
        })
    }
}

/// A value that may be of a wrong type. `null` and absence are the default.
pub(super) trait Loose: Default {
    /// What is wanted, with its article.
    const WANT: &'static str;

    /// From a string. `Err` is what is wrong with it.
    fn from_text(_text: &str) -> Result<Self, String> {
        Err(wrong::<Self>())
    }

    /// From a whole number. `Err` is what is wrong with it.
    fn from_number(_number: i64) -> Result<Self, String> {
        Err(wrong::<Self>())
    }

    /// From true or false. `Err` is what is wrong with it.
    fn from_bool(_value: bool) -> Result<Self, String> {
        Err(wrong::<Self>())
    }

    /// From an object.
    fn from_map<'de, A: MapAccess<'de>>(
        mut map: A,
        problem: &mut Problem,
    ) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        problem.note(wrong::<Self>);
        Ok(Self::default())
    }

    /// From a list.
    fn from_list<'de, A: SeqAccess<'de>>(
        mut list: A,
        problem: &mut Problem,
    ) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        problem.note(wrong::<Self>);
        Ok(Self::default())
    }
}

fn wrong<T: Loose>() -> String {
    format!("is not {}", T::WANT)
}

/// Reads a value.
pub(super) fn read<'de, T: Loose, D: Deserializer<'de>>(
    deserializer: D,
    problem: &mut Problem,
) -> Result<T, D::Error> {
    Reader::new(problem).deserialize(deserializer)
}

/// [`read`] as serde wants it where a value is inside another.
pub(super) struct Reader<'p, T> {
    problem: &'p mut Problem,
    type_: PhantomData<T>,
}

impl<'p, T> Reader<'p, T> {
    pub(super) fn new(problem: &'p mut Problem) -> Self {
        Self { problem, type_: PhantomData }
    }
}

impl<'de, T: Loose> DeserializeSeed<'de> for Reader<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T: Loose> Reader<'_, T> {
    #[expect(clippy::unnecessary_wraps, reason = "every visit of serde answers a Result")]
    fn reject<E>(self) -> Result<T, E> {
        self.problem.note(wrong::<T>);
        Ok(T::default())
    }

    #[expect(clippy::unnecessary_wraps, reason = "every visit of serde answers a Result")]
    fn take<E>(self, read: Result<T, String>) -> Result<T, E> {
        Ok(read.unwrap_or_else(|what| {
            self.problem.note(|| what);
            T::default()
        }))
    }
}

impl<'de, T: Loose> Visitor<'de> for Reader<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANT)
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        self.take(T::from_text(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        self.take(T::from_bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        self.take(T::from_number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        match i64::try_from(number) {
            Ok(number) => self.take(T::from_number(number)),
            Err(_) => self.reject(),
        }
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        self.reject()
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_none<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::from_map(map, self.problem)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::from_list(list, self.problem)
    }
}

/// A key of an object, as the field that it names.
pub(super) struct Key<F>(pub(super) fn(&str) -> F);

impl<'de, F> DeserializeSeed<'de> for Key<F> {
    type Value = F;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<F, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<F> Visitor<'_> for Key<F> {
    type Value = F;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<F, E> {
        Ok((self.0)(text))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<F, E> {
        std::str::from_utf8(bytes).map(self.0).map_err(E::custom)
    }
}

/// Implements [`Loose`] for a struct: which key goes to which field.
macro_rules! loose_object {
    ($type:ident { $($key:literal => $field:ident),* $(,)? }) => {
        impl $crate::model::record::loose::Loose for $type {
            const WANT: &'static str = "an object";

            fn from_map<'de, A: serde::de::MapAccess<'de>>(
                mut map: A,
                problem: &mut $crate::model::record::loose::Problem,
            ) -> Result<Self, A::Error> {
                #[allow(non_camel_case_types, reason = "named like the fields that they stand for")]
                enum Field { $($field,)* Other }
                use $crate::model::record::loose::{Key, Reader};
                let mut out = Self::default();
                let key = |text: &str| match text { $($key => Field::$field,)* _ => Field::Other };
                while let Some(field) = map.next_key_seed(Key(key))? {
                    match field {
                        $(Field::$field => {
                            out.$field = problem
                                .inside($key, |problem| map.next_value_seed(Reader::new(problem)))?;
                        })*
                        Field::Other => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(out)
            }
        }
    };
}
pub(super) use loose_object;

impl Loose for Option<String> {
    const WANT: &'static str = "a string";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Some(text.to_owned()))
    }
}

impl Loose for Option<Timestamp> {
    const WANT: &'static str = "a time";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map(Some).map_err(|_cause| format!("is {text:?}, which is no time"))
    }
}

impl Loose for Option<i32> {
    const WANT: &'static str = "a whole number";

    fn from_number(number: i64) -> Result<Self, String> {
        i32::try_from(number).map(Some).map_err(|_cause| wrong::<Self>())
    }
}

impl Loose for bool {
    const WANT: &'static str = "true or false";

    fn from_bool(value: bool) -> Result<Self, String> {
        Ok(value)
    }
}

/// What most objects do not have takes the room of a pointer.
impl<T: Loose> Loose for Option<Box<T>> {
    const WANT: &'static str = T::WANT;

    fn from_map<'de, A: MapAccess<'de>>(map: A, problem: &mut Problem) -> Result<Self, A::Error> {
        T::from_map(map, problem).map(|value| Some(Box::new(value)))
    }
}

/// One of the words of an enum of ours; a word of a later version is a problem, not an end.
fn word<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, String> {
    T::deserialize(IntoDeserializer::<value::Error>::into_deserializer(text))
        .map_err(|_cause| format!("is {text:?}, a word that this version does not know"))
}

impl Loose for ServiceState {
    const WANT: &'static str = "a word";

    fn from_text(text: &str) -> Result<Self, String> {
        word(text)
    }
}

macro_rules! loose_optional_words {
    ($($type:ty),*) => {$(
        impl Loose for Option<$type> {
            const WANT: &'static str = "a word";

            fn from_text(text: &str) -> Result<Self, String> {
                word(text).map(Some)
            }
        }
    )*};
}
loose_optional_words!(Phase, RunState, AddressType, HoldMode);

impl<T: Loose> Loose for Vec<T> {
    const WANT: &'static str = "a list";

    fn from_list<'de, A: SeqAccess<'de>>(
        mut list: A,
        problem: &mut Problem,
    ) -> Result<Self, A::Error> {
        let mut out = Self::new();
        while let Some(value) = list.next_element_seed(Reader::new(problem))? {
            out.push(value);
        }
        Ok(out)
    }
}

impl<T: Loose> Loose for BTreeMap<String, T> {
    const WANT: &'static str = "an object";

    fn from_map<'de, A: MapAccess<'de>>(
        mut map: A,
        problem: &mut Problem,
    ) -> Result<Self, A::Error> {
        let mut out = Self::new();
        while let Some(key) = map.next_key::<String>()? {
            let value =
                problem.inside(&key, |problem| map.next_value_seed(Reader::new(problem)))?;
            out.insert(key, value);
        }
        Ok(out)
    }
}
