//! How a type of the SDK is read from JSON tolerantly and written back exactly.
//!
//! Owns:  the two macros that the model is written with (`shape!`, `open_enum!`), the spellings that are
//!        understood, and the rule that nothing is lost.
//! Never: knows a field or a type of the SDK.
//!
//! The SDKs of one vendor write the same field in several ways: `"31877"` or `31877`, `UUID` or `uuid`, null,
//! or not at all. A field here is an [`Option`] of one plain type. What its type cannot tell (a null, another
//! spelling, a value of a wrong type, a field that nobody knows) stays in `rest` as it came, and is written
//! back from there as long as it still says the same as the field.

use serde_json::{Map, Number, Value};

use crate::json;

/// A value that can stand in a field.
pub(crate) trait Wire: Sized + PartialEq {
    /// Whether reading keeps everything by itself, so that no original is needed beside it.
    const KEEPS_ALL: bool = false;

    /// Reads any known spelling; `None` for null, and for what the field cannot mean.
    fn read(value: &Value) -> Option<Self>;

    /// Writes the one spelling that newer SDKs use.
    fn write(&self) -> Value;
}

/// A type of the SDK that is a JSON object.
pub(crate) trait Shape: Sized {
    fn read_object(object: &Map<String, Value>) -> Self;
    fn write_object(&self) -> Map<String, Value>;
}

/// The names under which a field may stand; the first is the one to write.
pub(crate) type Names = &'static [&'static str];

/// Reads a field. A name is added to `understood` if nothing beside the field is needed to write it again.
pub(crate) fn take<T: Wire>(
    object: &Map<String, Value>,
    names: Names,
    understood: &mut Vec<&'static str>,
) -> Option<T> {
    let mut present = names.iter().copied().filter(|name| object.contains_key(*name));
    let first = present.next()?;
    let is_alone = present.next().is_none();
    if is_alone && Some(&first) == names.first() {
        let original = object.get(first)?;
        let read = T::read(original)?;
        if T::KEEPS_ALL || read.write() == *original {
            understood.push(first);
        }
        return Some(read);
    }
    names.iter().filter_map(|name| object.get(*name)).find_map(T::read)
}

/// What is left beside the fields.
pub(crate) fn rest(object: &Map<String, Value>, understood: &[&'static str]) -> Map<String, Value> {
    let is_left = |name: &str| !understood.contains(&name);
    object
        .iter()
        .filter(|(name, _)| is_left(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Writes a field into an object that begins as the `rest`: an original that still says the same stays.
pub(crate) fn put<T: Wire>(object: &mut Map<String, Value>, names: Names, field: Option<&T>) {
    let said = |name: &&str| object.get(*name).and_then(T::read);
    match field {
        Some(value) => {
            if names.iter().filter_map(said).any(|said| said == *value) {
                return;
            }
            for name in names {
                object.remove(*name);
            }
            if let Some(name) = names.first() {
                object.insert((*name).to_owned(), value.write());
            }
        }
        None => {
            // A field that was cleared does not come back from its old spelling; a null stays.
            let stale: Vec<_> = names.iter().filter(|name| said(name).is_some()).collect();
            for name in stale {
                object.remove(*name);
            }
        }
    }
}

impl Wire for String {
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn write(&self) -> Value {
        Value::from(self.as_str())
    }
}

impl Wire for bool {
    /// Some bridges write numbers or text.
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => match json::whole(number) {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Value::String(text) => match text.as_str() {
                "false" | "0" => Some(false),
                "true" | "1" => Some(true),
                _ => None,
            },
            _ => None,
        }
    }

    fn write(&self) -> Value {
        Value::from(*self)
    }
}

impl Wire for i64 {
    /// `seq` was a number in the oldest SDKs and is a text since.
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => json::whole(number),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        Value::from(*self)
    }
}

impl Wire for f64 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    /// JSON has no number for what is not finite; no field is read as such.
    fn write(&self) -> Value {
        Number::from_f64(*self).map_or(Value::Null, Value::Number)
    }
}

/// A whole number that is written as text, as `seq` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberText(pub i64);

impl Wire for NumberText {
    fn read(value: &Value) -> Option<Self> {
        i64::read(value).map(Self)
    }

    fn write(&self) -> Value {
        Value::from(self.0.to_string())
    }
}

impl<T: Wire> Wire for Vec<T> {
    const KEEPS_ALL: bool = T::KEEPS_ALL;

    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::read).collect()
    }

    fn write(&self) -> Value {
        self.iter().map(T::write).collect()
    }
}

impl<T: Wire> Wire for Box<T> {
    const KEEPS_ALL: bool = T::KEEPS_ALL;

    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Self::new)
    }

    fn write(&self) -> Value {
        T::write(self)
    }
}

/// An object with names of the app's own.
impl Wire for Map<String, Value> {
    const KEEPS_ALL: bool = true;

    fn read(value: &Value) -> Option<Self> {
        value.as_object().cloned()
    }

    fn write(&self) -> Value {
        Value::Object(self.clone())
    }
}

/// Defines a type of the SDK: every field an [`Option`], with the names under which it is read, the first of
/// them the one that is written.
///
/// ```text
/// shape! {
///     /// A face.
///     pub struct V2TimFaceElem {
///         /// Its number in the app's set.
///         index: i64 = "index",
///     }
/// }
/// ```
macro_rules! shape {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $kind:ty = $first:literal $(| $other:literal)* , )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        $vis struct $name {
            $( $(#[$field_meta])* $vis $field: Option<$kind>, )*
            /// What the fields do not tell, as it came: unknown fields, nulls, other spellings, wrong types.
            $vis rest: serde_json::Map<String, serde_json::Value>,
        }

        impl $crate::fields::Shape for $name {
            fn read_object(object: &serde_json::Map<String, serde_json::Value>) -> Self {
                let mut understood = Vec::new();
                $( let $field = $crate::fields::take(object, &[$first $(, $other)*], &mut understood); )*
                Self { $($field,)* rest: $crate::fields::rest(object, &understood) }
            }

            fn write_object(&self) -> serde_json::Map<String, serde_json::Value> {
                let mut object = self.rest.clone();
                $( $crate::fields::put(&mut object, &[$first $(, $other)*], self.$field.as_ref()); )*
                object
            }
        }

        impl $crate::fields::Wire for $name {
            const KEEPS_ALL: bool = true;

            fn read(value: &serde_json::Value) -> Option<Self> {
                value.as_object().map($crate::fields::Shape::read_object)
            }

            fn write(&self) -> serde_json::Value {
                serde_json::Value::Object($crate::fields::Shape::write_object(self))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::fields::Shape::write_object(self).serialize(serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let object = serde_json::Map::deserialize(deserializer)?;
                Ok($crate::fields::Shape::read_object(&object))
            }
        }

        #[cfg(test)]
        impl $crate::fields::any::Any for $name {
            fn any(depth: u32) -> proptest::strategy::BoxedStrategy<Self> {
                use proptest::strategy::Strategy as _;
                let start = proptest::strategy::Just(Self::default()).boxed();
                $( let start = $crate::fields::any::with_field(
                    start,
                    &[$first $(, $other)*],
                    depth,
                    |whole: &mut Self| (&mut whole.$field, &mut whole.rest),
                ); )*
                $crate::fields::any::with_unknown(start, |whole: &mut Self| &mut whole.rest)
            }
        }
    )*};
}

/// Defines an enumeration of the SDK: known numbers by name, any other as `Other`.
macro_rules! open_enum {
    ($(
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $number:literal, )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $( $(#[$variant_meta])* $variant, )*
            /// A number that is not listed: from a newer SDK.
            Other(i64),
        }

        impl $name {
            /// What a number stands for.
            #[must_use]
            $vis const fn of(number: i64) -> Self {
                match number {
                    $( $number => Self::$variant, )*
                    other => Self::Other(other),
                }
            }

            /// The number on the wire.
            #[must_use]
            $vis const fn number(self) -> i64 {
                match self {
                    $( Self::$variant => $number, )*
                    Self::Other(number) => number,
                }
            }
        }

        impl $crate::fields::Wire for $name {
            fn read(value: &serde_json::Value) -> Option<Self> {
                i64::read(value).map(Self::of)
            }

            fn write(&self) -> serde_json::Value {
                serde_json::Value::from(self.number())
            }
        }

        #[cfg(test)]
        impl $crate::fields::any::Any for $name {
            fn any(_: u32) -> proptest::strategy::BoxedStrategy<Self> {
                use proptest::strategy::Strategy as _;
                let number = proptest::prop_oneof![4 => -1_i64..16, 1 => proptest::prelude::any::<i64>()];
                number.prop_map(Self::of).boxed()
            }
        }
    )*};
}

pub(crate) use {open_enum, shape};

#[cfg(test)]
pub(crate) mod any;
#[cfg(test)]
mod tests;
