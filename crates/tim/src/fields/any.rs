//! Arbitrary values of the model, for the property tests.
//!
//! Owns:  a strategy for each kind of field, unknown fields, nulls.
//! Never: makes what no parser could have made: an unknown field with a known name.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{Names, NumberText, Wire};

/// A kind that can be generated. `depth` is how deep chains of it may still grow.
pub(crate) trait Any: Sized + Clone + std::fmt::Debug + 'static {
    fn any(depth: u32) -> BoxedStrategy<Self>;
}

impl Any for String {
    fn any(_: u32) -> BoxedStrategy<Self> {
        prop_oneof![
            Just(Self::new()),
            "[ -~]{1,12}",
            "\\PC{1,8}",
            Just("null".to_owned()),
            Just("7".to_owned())
        ]
        .boxed()
    }
}

impl Any for bool {
    fn any(_: u32) -> BoxedStrategy<Self> {
        any::<Self>().boxed()
    }
}

impl Any for i64 {
    fn any(_: u32) -> BoxedStrategy<Self> {
        prop_oneof![-3..20_i64, 0..i64::from(u32::MAX), any::<Self>()].boxed()
    }
}

impl Any for f64 {
    fn any(_: u32) -> BoxedStrategy<Self> {
        // -0.0 is 0 to every reader, and a whole number stays what it is only as long as it fits.
        prop_oneof![-180.0..180.0_f64, Just(0.5)].prop_map(|number| number + 0.0).boxed()
    }
}

impl Any for NumberText {
    fn any(depth: u32) -> BoxedStrategy<Self> {
        i64::any(depth).prop_map(Self).boxed()
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(depth: u32) -> BoxedStrategy<Self> {
        vec(T::any(depth.saturating_sub(1)), 0..3).boxed()
    }
}

impl<T: Any> Any for Box<T> {
    fn any(depth: u32) -> BoxedStrategy<Self> {
        T::any(depth.saturating_sub(1)).prop_map(Self::new).boxed()
    }
}

impl Any for Map<String, Value> {
    fn any(_: u32) -> BoxedStrategy<Self> {
        unknown_fields()
    }
}

/// Fields that no type has.
fn unknown_fields() -> BoxedStrategy<Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("\\PC{0,4}", inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    btree_map("newer[A-Z][a-z]{0,3}", value, 0..3).prop_map(|fields| fields.into_iter().collect()).boxed()
}

/// Where a field stands, and the `rest` beside it.
type FieldAt<W, T> = fn(&mut W) -> (&mut Option<T>, &mut Map<String, Value>);

/// Adds a field: absent, null, or a value.
pub(crate) fn with_field<W: Clone + std::fmt::Debug + 'static, T: Any + Wire>(
    start: BoxedStrategy<W>,
    names: Names,
    depth: u32,
    at: FieldAt<W, T>,
) -> BoxedStrategy<W> {
    let value = if depth == 0 { Just(None).boxed() } else { option::of(T::any(depth)).boxed() };
    let filled = (start, value, any::<bool>(), any::<prop::sample::Index>());
    filled
        .prop_map(move |(mut whole, value, is_null, index)| {
            let (field, rest) = at(&mut whole);
            if value.is_none() && is_null {
                rest.insert((*index.get(names)).to_owned(), Value::Null);
            }
            *field = value;
            whole
        })
        .boxed()
}

/// Adds fields that the type does not know.
pub(crate) fn with_unknown<W: Clone + std::fmt::Debug + 'static>(
    start: BoxedStrategy<W>,
    at: fn(&mut W) -> &mut Map<String, Value>,
) -> BoxedStrategy<W> {
    (start, unknown_fields())
        .prop_map(move |(mut whole, unknown)| {
            at(&mut whole).extend(unknown);
            whole
        })
        .boxed()
}
