//! Reads a merged figment value into the config's types, forgiving in form and strict in content.
//!
//! The environment and flags carry only text, and figment's own guess of a type turns `POD_ID=007` into the
//! number 7. Here the *wanted* type decides: text becomes a number, a bool, a list (comma separated) or an
//! unset option where the field wants that, and a TOML number becomes text where the field is a text. Keys no
//! struct asks for go into the list of the unknown. Leaves out repairing and going on after an error, which
//! `config.rs` does by taking the wrong value out and reading again.
//!
//! `#[serde(flatten)]` hides the wanted types from a deserializer, so config structs do not use it.

use std::{cell::RefCell, fmt, vec};

use figment::value::{Dict, Value};
use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::{MapAccessDeserializer, StringDeserializer},
};

use super::numbers::{float, number_as_text, whole};

/// Why a value could not be read, and the path to it.
#[derive(Debug)]
pub(super) struct ReadError {
    /// Segments from the root; list elements are their index.
    pub(super) path: Vec<String>,
    /// What is wrong.
    pub(super) message: String,
}

impl ReadError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            message: message.into(),
        }
    }

    fn under(mut self, segment: &str) -> Self {
        self.path.insert(0, segment.to_owned());
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").under(field)
    }
}

/// An unknown key and the keys that would be known in its place.
#[derive(Debug)]
pub(super) struct UnknownKey {
    /// The key's path from the root.
    pub(super) path: Vec<String>,
    /// The fields of the struct it stood in.
    pub(super) known: &'static [&'static str],
}

/// Reads `value` as a `T`; every key that no struct asks for is put into `unknown`.
pub(super) fn read<T: de::DeserializeOwned>(
    value: &Value,
    unknown: &RefCell<Vec<UnknownKey>>,
) -> Result<T, ReadError> {
    T::deserialize(Lenient {
        value: value.clone(),
        path: Vec::new(),
        unknown,
    })
}

/// One value on its way into a type.
struct Lenient<'u> {
    value: Value,
    path: Vec<String>,
    unknown: &'u RefCell<Vec<UnknownKey>>,
}

impl<'u> Lenient<'u> {
    fn child(&self, segment: String, value: Value) -> Self {
        let mut path = self.path.clone();
        path.push(segment);
        Lenient {
            value,
            path,
            unknown: self.unknown,
        }
    }

    /// The value as text, if it is one thing and not a section or a list.
    fn text(&self) -> Result<String, ReadError> {
        match &self.value {
            Value::String(_, text) => Ok(text.clone()),
            Value::Char(_, char) => Ok(char.to_string()),
            Value::Bool(_, bool) => Ok(bool.to_string()),
            Value::Num(_, number) => Ok(number_as_text(number)),
            other => Err(expected("text", other)),
        }
    }

    /// The value as a list; text is split at commas.
    fn list(&self) -> Result<Vec<Value>, ReadError> {
        match &self.value {
            Value::Array(_, elements) => Ok(elements.clone()),
            Value::String(_, text) if text.trim().is_empty() => Ok(Vec::new()),
            Value::String(tag, text) => Ok(text
                .split(',')
                .map(|part| Value::String(*tag, part.trim().to_owned()))
                .collect()),
            other => Err(expected("a list", other)),
        }
    }

    fn dict(&self) -> Result<Dict, ReadError> {
        match &self.value {
            Value::Dict(_, dict) => Ok(dict.clone()),
            other => Err(expected("a section", other)),
        }
    }

    fn entries(&self, dict: Dict) -> Entries<'u> {
        let entries = dict
            .into_iter()
            .map(|(key, value)| (key.clone(), self.child(key, value)));
        Entries {
            entries: entries.collect::<Vec<_>>().into_iter(),
            next: None,
        }
    }
}

/// Reads whole numbers of every width: by value from a number, by parsing from text.
macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let number = match &self.value {
                Value::Num(_, number) => whole(number).and_then(|number| <$type>::try_from(number).ok()),
                Value::String(_, text) => text.trim().parse::<$type>().ok(),
                _ => None,
            };
            match number {
                Some(number) => visitor.$visit(number),
                None => {
                    let wanted = format!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX);
                    Err(expected(&wanted, &self.value))
                }
            }
        }
    )*};
}

/// Passes types without a form of their own on to another method.
macro_rules! same_as {
    ($target:ident: $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.$target(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient<'_> {
    type Error = ReadError;

    whole_numbers! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    }
    same_as! { deserialize_string: deserialize_str deserialize_char deserialize_identifier }
    same_as! { deserialize_f64: deserialize_f32 }
    same_as! { deserialize_seq: deserialize_bytes deserialize_byte_buf }
    same_as! { deserialize_any: deserialize_unit deserialize_ignored_any }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Bool(_, bool) => visitor.visit_bool(*bool),
            Value::Num(_, number) => match whole(number).map(i64::try_from) {
                Some(Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_f64(float(number)),
            },
            Value::Empty(..) => visitor.visit_unit(),
            Value::Array(..) => self.deserialize_seq(visitor),
            Value::Dict(..) => self.deserialize_map(visitor),
            Value::String(..) | Value::Char(..) => self.deserialize_string(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let text = self.text()?;
        visitor
            .visit_string(text.clone())
            .map_err(|error| plainer(error, &text))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let text = self.text().unwrap_or_default();
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => visitor.visit_bool(true),
            "false" | "no" | "off" | "0" => visitor.visit_bool(false),
            _ => Err(expected("true or false", &self.value)),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let number = match &self.value {
            Value::Num(_, number) => Some(float(number)),
            Value::String(_, text) => text
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite()),
            _ => None,
        };
        match number {
            Some(number) => visitor.visit_f64(number),
            None => Err(expected("a number", &self.value)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Empty(..) => visitor.visit_none(),
            Value::String(_, text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let elements = self.list()?;
        let child = |(index, value): (usize, Value)| self.child(index.to_string(), value);
        let elements: Vec<_> = elements.into_iter().enumerate().map(child).collect();
        visitor.visit_seq(Elements {
            elements: elements.into_iter().enumerate(),
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let dict = self.dict()?;
        visitor.visit_map(self.entries(dict))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let (known, unknown): (Dict, Dict) = self
            .dict()?
            .into_iter()
            .partition(|(key, _)| fields.contains(&key.as_str()));
        for key in unknown.into_keys() {
            let mut path = self.path.clone();
            path.push(key);
            self.unknown.borrow_mut().push(UnknownKey { path, known: fields });
        }
        visitor.visit_map(self.entries(known))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Dict(_, dict) => {
                let entries = MapAccessDeserializer::new(self.entries(dict.clone()));
                entries.deserialize_enum(name, variants, visitor)
            }
            _ => {
                let text: StringDeserializer<ReadError> = self.text()?.into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }
}

/// The keys and values of a section, each error marked with its key.
struct Entries<'u> {
    entries: vec::IntoIter<(String, Lenient<'u>)>,
    next: Option<(String, Lenient<'u>)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.next = self.entries.next();
        match &self.next {
            Some((key, _)) => seed.deserialize(key.clone().into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, value) = self
            .next
            .take()
            .ok_or_else(|| ReadError::new("has a value without a key"))?;
        seed.deserialize(value).map_err(|error| error.under(&key))
    }
}

/// The elements of a list, each error marked with its index.
struct Elements<'u> {
    elements: std::iter::Enumerate<vec::IntoIter<Lenient<'u>>>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((index, element)) = self.elements.next() else {
            return Ok(None);
        };
        seed.deserialize(element)
            .map(Some)
            .map_err(|error| error.under(&index.to_string()))
    }
}

/// What the standard library says of an address that is none, in words that help. The value is shown: an address is no
/// secret.
fn plainer(error: ReadError, text: &str) -> ReadError {
    if !error.path.is_empty() || error.message != "invalid socket address syntax" {
        return error;
    }
    ReadError::new(format!(
        "must be a numeric address and a port, such as 127.0.0.1:8080 or 0.0.0.0:8080 for every interface, not `{text}`"
    ))
}

/// The sentence for a value of the wrong kind. Sections and lists are named, not shown: they may be long.
fn expected(wanted: &str, found: &Value) -> ReadError {
    let found = match found {
        Value::String(_, text) => format!("the text `{text}`"),
        Value::Char(_, char) => format!("the text `{char}`"),
        Value::Num(_, number) => format!("the number {}", number_as_text(number)),
        Value::Bool(_, bool) => bool.to_string(),
        Value::Empty(..) => "nothing".into(),
        Value::Dict(..) => "a section".into(),
        Value::Array(..) => "a list".into(),
    };
    ReadError::new(format!("must be {wanted}, not {found}"))
}
