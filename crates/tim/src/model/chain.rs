//! Chains: a message of several elements, each hanging at the `nextElem` of the one before.
//!
//! Owns:  how a chained element says what it is, and the order of a message's elements.
//! Never: the fields of an element.

use std::iter::FusedIterator;

use serde_json::{Map, Value};

use super::elements::{
    V2TimCustomElem, V2TimFaceElem, V2TimFileElem, V2TimImageElem, V2TimLocationElem, V2TimMergerElem,
    V2TimSoundElem, V2TimTextElem, V2TimVideoElem,
};
use super::group::V2TimGroupTipsElem;
use super::kinds::ElemType;
use crate::fields::{Shape, Wire, shape};
use crate::model::V2TimMessage;

/// The field by which a chained element says what it is.
const ELEM_TYPE: &str = "elemType";

shape! {
    /// An element of a type that is not known here: its own fields are in `rest`.
    pub struct V2TimOtherElem {
        /// What it says it is. Missing where it is a field of the message.
        elem_type: ElemType = "elemType",
        /// The element after it.
        next_elem: Box<V2TimElem> = "nextElem",
    }
}

/// Everything that there is one of for each known type of element.
macro_rules! elems {
    ($( $(#[$meta:meta])* $variant:ident($elem:ident) at $field:ident, )*) => {
        /// An element inside a chain. There it is one flat object: `elemType` stands beside the element's own
        /// fields, and `nextElem` is the element after it.
        #[derive(Clone, Debug, PartialEq)]
        pub enum V2TimElem {
            $( $(#[$meta])* $variant($elem), )*
            /// Of a type that is not known here, or without one.
            Other(V2TimOtherElem),
        }

        /// An element of a message, wherever it stands.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Elem<'a> {
            $( $(#[$meta])* $variant(&'a $elem), )*
            /// Of a type that is not known here, or without one.
            Other(&'a V2TimOtherElem),
        }

        impl V2TimElem {
            /// Looks at the element.
            #[must_use]
            pub const fn as_elem(&self) -> Elem<'_> {
                match self {
                    $( Self::$variant(elem) => Elem::$variant(elem), )*
                    Self::Other(elem) => Elem::Other(elem),
                }
            }

            fn read_as(kind: Option<ElemType>, object: &Map<String, Value>) -> Self {
                match kind {
                    $( Some(ElemType::$variant) => Self::$variant($elem::read_object(object)), )*
                    _ => Self::Other(V2TimOtherElem::read_object(object)),
                }
            }

            fn rest_mut(&mut self) -> &mut Map<String, Value> {
                match self {
                    $( Self::$variant(elem) => &mut elem.rest, )*
                    Self::Other(elem) => &mut elem.rest,
                }
            }
        }

        impl<'a> Elem<'a> {
            /// What it is; of an unknown element, what it says it is.
            #[must_use]
            pub fn elem_type(self) -> Option<ElemType> {
                match self {
                    $( Self::$variant(_) => Some(ElemType::$variant), )*
                    Self::Other(elem) => elem.elem_type,
                }
            }

            /// The element after it.
            #[must_use]
            pub fn next_elem(self) -> Option<Self> {
                let next = match self {
                    $( Self::$variant(elem) => elem.next_elem.as_deref(), )*
                    Self::Other(elem) => elem.next_elem.as_deref(),
                };
                next.map(V2TimElem::as_elem)
            }

            fn write_object(self) -> Map<String, Value> {
                match self {
                    $( Self::$variant(elem) => elem.write_object(), )*
                    Self::Other(elem) => elem.write_object(),
                }
            }
        }

        impl V2TimMessage {
            /// The element that stands in the field for a type.
            fn elem_of(&self, kind: ElemType) -> Option<Elem<'_>> {
                match kind {
                    $( ElemType::$variant => self.$field.as_deref().map(Elem::$variant), )*
                    ElemType::Other(_) => self.other_elems().next(),
                    ElemType::None => None,
                }
            }

            /// Every element that stands in a field of the message.
            fn filled(&self) -> impl Iterator<Item = Elem<'_>> {
                let known = [$( self.$field.as_deref().map(Elem::$variant), )*];
                known.into_iter().flatten().chain(self.other_elems())
            }
        }

        #[cfg(test)]
        impl crate::fields::any::Any for V2TimElem {
            fn any(depth: u32) -> proptest::strategy::BoxedStrategy<Self> {
                use proptest::strategy::{Strategy as _, Union};
                Union::new([
                    $( $elem::any(depth).prop_map(Self::$variant).boxed(), )*
                    V2TimOtherElem::any(depth).prop_map(Self::of_unknown_type).boxed(),
                ]).boxed()
            }
        }
    };
}

elems! {
    /// A text.
    Text(V2TimTextElem) at text_elem,
    /// Data of the app's own.
    Custom(V2TimCustomElem) at custom_elem,
    /// A picture.
    Image(V2TimImageElem) at image_elem,
    /// A voice recording.
    Sound(V2TimSoundElem) at sound_elem,
    /// A video.
    Video(V2TimVideoElem) at video_elem,
    /// A file.
    File(V2TimFileElem) at file_elem,
    /// A place.
    Location(V2TimLocationElem) at location_elem,
    /// A face.
    Face(V2TimFaceElem) at face_elem,
    /// A note about the group.
    GroupTips(V2TimGroupTipsElem) at group_tips_elem,
    /// Several messages bundled.
    Merger(V2TimMergerElem) at merger_elem,
}

impl Wire for V2TimElem {
    const KEEPS_ALL: bool = true;

    /// An empty object is no element: the Android bridge writes one where the chain ends.
    fn read(value: &Value) -> Option<Self> {
        let object = value.as_object().filter(|object| !object.is_empty())?;
        let kind = object.get(ELEM_TYPE).and_then(ElemType::read);
        let mut elem = Self::read_as(kind, object);
        // The variant says it, unless it was spelt otherwise.
        if kind.is_some_and(|kind| object.get(ELEM_TYPE) == Some(&kind.write())) {
            elem.rest_mut().remove(ELEM_TYPE);
        }
        Some(elem)
    }

    fn write(&self) -> Value {
        let elem = self.as_elem();
        let mut object = elem.write_object();
        crate::fields::put(&mut object, &[ELEM_TYPE], elem.elem_type().as_ref());
        Value::Object(object)
    }
}

impl V2TimMessage {
    /// The elements in the order in which they are shown, beginning with the one that `elemType` names.
    ///
    /// Where `elemType` is missing or 0, it begins with the element that is there if there is one alone. No
    /// element where `elemType` names one that is not there. A chain that was read has fewer than 127
    /// elements: the parser goes no deeper.
    #[must_use]
    pub fn elements(&self) -> Elements<'_> {
        Elements { next: self.first_elem() }
    }

    /// The elements that have a field, but no type with fields of its own here.
    fn other_elems(&self) -> impl Iterator<Item = Elem<'_>> {
        [&self.group_report_elem, &self.stream_elem]
            .into_iter()
            .filter_map(|elem| elem.as_deref().map(Elem::Other))
    }

    fn first_elem(&self) -> Option<Elem<'_>> {
        match self.elem_type {
            Some(ElemType::None) | None => {
                let mut filled = self.filled();
                let only = filled.next();
                if filled.next().is_some() { None } else { only }
            }
            Some(kind) => self.elem_of(kind),
        }
    }
}

/// The elements of a message in order: see [`V2TimMessage::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    next: Option<Elem<'a>>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Elem<'a>;

    fn next(&mut self) -> Option<Elem<'a>> {
        let elem = self.next?;
        self.next = elem.next_elem();
        Some(elem)
    }
}

impl FusedIterator for Elements<'_> {}

#[cfg(test)]
impl V2TimElem {
    /// What a parser makes of an unknown type: it never says a known one, and never a null beside it.
    fn of_unknown_type(mut elem: V2TimOtherElem) -> Self {
        elem.rest.remove(ELEM_TYPE);
        elem.elem_type = Some(ElemType::Other(77));
        Self::Other(elem)
    }
}
