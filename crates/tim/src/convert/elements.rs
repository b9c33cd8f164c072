//! The elements of a message: a chain in the one shape, an array in the other.
//!
//! Owns:  the order, the keys of all but media, and how deep bundles may nest.
//! Never: the keys of media (`media`), the fields of the message beside its elements.

use super::{media, message_to_c, message_to_camel, numbers};
use crate::c_shape::{ElemType, Element};
use crate::model::{
    Elem, V2TimCustomElem, V2TimElem, V2TimFaceElem, V2TimFileElem, V2TimGroupTipsElem, V2TimImageElem,
    V2TimLocationElem, V2TimMergerElem, V2TimMessage, V2TimSoundElem, V2TimTextElem, V2TimVideoElem,
};

/// Levels of JSON that the deepest part of a message has, where no bundle nests: in the C shape message, push
/// settings, their part for one system; or message, elements, element, list.
const LEVELS_C_MIN: usize = 4;
/// Levels from a message to those in its bundle: elements, element, list, message.
const LEVELS_C_NESTED: usize = 4;
/// Levels that an element may have inside itself: a list of objects.
const LEVELS_IN_ELEMENT: usize = 2;
/// Levels of a message with one element.
const LEVELS_CAMEL_MIN: usize = 2 + LEVELS_IN_ELEMENT;

/// The elements as an array; `None` where there are none.
pub(super) fn to_c(message: &V2TimMessage, levels: usize) -> Option<Vec<Element>> {
    let elements: Vec<_> = message.elements().filter_map(|elem| elem_to_c(elem, levels)).collect();
    (!elements.is_empty()).then_some(elements)
}

fn elem_to_c(elem: Elem<'_>, levels: usize) -> Option<Element> {
    Some(match elem {
        Elem::Text(text) => {
            Element { elem_type: Some(ElemType::Text), text_content: text.text.clone(), ..Element::default() }
        }
        Elem::Custom(custom) => Element {
            elem_type: Some(ElemType::Custom),
            custom_data: custom.data.clone(),
            custom_desc: custom.desc.clone(),
            custom_ext: custom.extension.clone(),
            ..Element::default()
        },
        Elem::Location(location) => Element {
            elem_type: Some(ElemType::Location),
            location_desc: location.desc.clone(),
            location_longitude: location.longitude,
            location_latitude: location.latitude,
            ..Element::default()
        },
        Elem::Face(face) => Element {
            elem_type: Some(ElemType::Face),
            face_index: face.index,
            face_buf: face.data.clone(),
            ..Element::default()
        },
        Elem::Image(image) => media::image_to_c(image),
        Elem::Sound(sound) => media::sound_to_c(sound),
        Elem::Video(video) => media::video_to_c(video),
        Elem::File(file) => media::file_to_c(file),
        Elem::Merger(merger) => merger_to_c(merger, levels),
        Elem::GroupTips(_) => Element { elem_type: Some(ElemType::GroupTips), ..Element::default() },
        Elem::Other(_) => return None,
    })
}

fn merger_to_c(merger: &V2TimMergerElem, levels: usize) -> Element {
    let inside = levels.checked_sub(LEVELS_C_NESTED).filter(|inside| *inside >= LEVELS_C_MIN);
    let messages = merger.message_list.as_deref().zip(inside);
    let bundled = messages
        .map(|(messages, inside)| messages.iter().map(|message| message_to_c(message, inside)).collect());
    Element {
        elem_type: Some(ElemType::Merge),
        merge_title: merger.title.clone(),
        merge_abstract_array: merger.abstract_list.clone(),
        merge_layer_over_limit: merger.is_layers_over_limit,
        merge_message_array: bundled,
        ..Element::default()
    }
}

/// The first element with the others behind it; `None` where none is known.
pub(super) fn to_camel(elements: &[Element], levels: usize) -> Option<V2TimElem> {
    let is_known = |element: &&Element| element.elem_type.and_then(numbers::elem_type_to_camel).is_some();
    // The element at place 1 is on the message's second level.
    let last = levels.saturating_sub(1 + LEVELS_IN_ELEMENT);
    let known: Vec<_> = elements.iter().filter(is_known).zip(1..=last).collect();
    let link = |next, (element, place)| elem_to_camel(element, next, levels.saturating_sub(place));
    known.into_iter().rev().fold(None, link).map(|first| *first)
}

/// Puts an element before the others. `levels` are those that the element itself and all in it may have.
fn elem_to_camel(element: &Element, next: Option<Box<V2TimElem>>, levels: usize) -> Option<Box<V2TimElem>> {
    let elem = match element.elem_type {
        Some(ElemType::Text) => {
            let text = element.text_content.clone();
            V2TimElem::Text(V2TimTextElem { text, next_elem: next, ..Default::default() })
        }
        Some(ElemType::Custom) => V2TimElem::Custom(V2TimCustomElem {
            data: element.custom_data.clone(),
            desc: element.custom_desc.clone(),
            extension: element.custom_ext.clone(),
            next_elem: next,
            ..Default::default()
        }),
        Some(ElemType::Location) => V2TimElem::Location(V2TimLocationElem {
            desc: element.location_desc.clone(),
            longitude: element.location_longitude,
            latitude: element.location_latitude,
            next_elem: next,
            ..Default::default()
        }),
        Some(ElemType::Face) => V2TimElem::Face(V2TimFaceElem {
            index: element.face_index,
            data: element.face_buf.clone(),
            next_elem: next,
            ..Default::default()
        }),
        Some(ElemType::Image) => {
            V2TimElem::Image(V2TimImageElem { next_elem: next, ..media::image_to_camel(element) })
        }
        Some(ElemType::Sound) => {
            V2TimElem::Sound(V2TimSoundElem { next_elem: next, ..media::sound_to_camel(element) })
        }
        Some(ElemType::Video) => {
            V2TimElem::Video(V2TimVideoElem { next_elem: next, ..media::video_to_camel(element) })
        }
        Some(ElemType::File) => {
            V2TimElem::File(V2TimFileElem { next_elem: next, ..media::file_to_camel(element) })
        }
        Some(ElemType::Merge) => {
            V2TimElem::Merger(V2TimMergerElem { next_elem: next, ..merger_to_camel(element, levels) })
        }
        Some(ElemType::GroupTips) => {
            V2TimElem::GroupTips(V2TimGroupTipsElem { next_elem: next, ..Default::default() })
        }
        _ => return next,
    };
    Some(Box::new(elem))
}

fn merger_to_camel(element: &Element, levels: usize) -> V2TimMergerElem {
    let inside = levels.checked_sub(LEVELS_IN_ELEMENT).filter(|inside| *inside >= LEVELS_CAMEL_MIN);
    let messages = element.merge_message_array.as_deref().zip(inside);
    let bundled = messages
        .map(|(messages, inside)| messages.iter().map(|message| message_to_camel(message, inside)).collect());
    V2TimMergerElem {
        title: element.merge_title.clone(),
        abstract_list: element.merge_abstract_array.clone(),
        is_layers_over_limit: element.merge_layer_over_limit,
        message_list: bundled,
        ..V2TimMergerElem::default()
    }
}

/// Puts the first element into the field for its type, and says the type.
pub(super) fn begin_with(message: &mut V2TimMessage, first: V2TimElem) {
    message.elem_type = first.as_elem().elem_type();
    match first {
        V2TimElem::Text(text) => message.text_elem = Some(Box::new(text)),
        V2TimElem::Custom(custom) => message.custom_elem = Some(Box::new(custom)),
        V2TimElem::Image(image) => message.image_elem = Some(Box::new(image)),
        V2TimElem::Sound(sound) => message.sound_elem = Some(Box::new(sound)),
        V2TimElem::Video(video) => message.video_elem = Some(Box::new(video)),
        V2TimElem::File(file) => message.file_elem = Some(Box::new(file)),
        V2TimElem::Location(location) => message.location_elem = Some(Box::new(location)),
        V2TimElem::Face(face) => message.face_elem = Some(Box::new(face)),
        V2TimElem::GroupTips(tips) => message.group_tips_elem = Some(Box::new(tips)),
        V2TimElem::Merger(merger) => message.merger_elem = Some(Box::new(merger)),
        // Never made here.
        V2TimElem::Other(_) => {}
    }
}
