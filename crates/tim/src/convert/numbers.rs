//! The numbers that differ between the shapes.
//!
//! Owns:  which number of one shape says the same as which of the other.
//! Never: guesses at a number that only one of them has.

use crate::{c_shape, model};

/// Elements that both shapes have.
const ELEMENTS: [(model::ElemType, c_shape::ElemType); 10] = [
    (model::ElemType::Text, c_shape::ElemType::Text),
    (model::ElemType::Custom, c_shape::ElemType::Custom),
    (model::ElemType::Image, c_shape::ElemType::Image),
    (model::ElemType::Sound, c_shape::ElemType::Sound),
    (model::ElemType::Video, c_shape::ElemType::Video),
    (model::ElemType::File, c_shape::ElemType::File),
    (model::ElemType::Location, c_shape::ElemType::Location),
    (model::ElemType::Face, c_shape::ElemType::Face),
    (model::ElemType::GroupTips, c_shape::ElemType::GroupTips),
    (model::ElemType::Merger, c_shape::ElemType::Merge),
];

/// Priorities that both shapes have; the camelCase shape's "default" is none in the C shape.
const PRIORITIES: [(model::Priority, c_shape::Priority); 3] = [
    (model::Priority::High, c_shape::Priority::High),
    (model::Priority::Normal, c_shape::Priority::Normal),
    (model::Priority::Low, c_shape::Priority::Low),
];

/// The C shape's number for an element; `None` for no element, and for a number that is not known here.
#[must_use]
pub fn elem_type_to_c(elem_type: model::ElemType) -> Option<c_shape::ElemType> {
    ELEMENTS.iter().find(|(camel, _)| *camel == elem_type).map(|(_, c)| *c)
}

/// The camelCase shape's number for an element; `None` for notices of the service to one user, and for a number
/// that is not known here.
#[must_use]
pub fn elem_type_to_camel(elem_type: c_shape::ElemType) -> Option<model::ElemType> {
    ELEMENTS.iter().find(|(_, c)| *c == elem_type).map(|(camel, _)| *camel)
}

/// The C shape's number for a priority; `None` for the default, which is said by saying nothing, and for a
/// number that is not known here.
#[must_use]
pub fn priority_to_c(priority: model::Priority) -> Option<c_shape::Priority> {
    PRIORITIES.iter().find(|(camel, _)| *camel == priority).map(|(_, c)| *c)
}

/// The camelCase shape's number for a priority. The C shape's lowest becomes low, the least that the other can
/// say: left out, it would rise to the default. `None` for a number that is not known here.
#[must_use]
pub fn priority_to_camel(priority: c_shape::Priority) -> Option<model::Priority> {
    if priority == c_shape::Priority::Lowest {
        return Some(model::Priority::Low);
    }
    PRIORITIES.iter().find(|(_, c)| *c == priority).map(|(camel, _)| *camel)
}
