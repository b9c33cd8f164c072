//! Made-up messages go from one shape to the other and back.
//!
//! Owns:  messages of what both shapes can say, field by field, which come back equal; and any messages at all,
//!        of which as much survives the second way as the first.
//! Never: checks what a message is called in the other shape (`tests` does).

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::fields::any::Any;
use crate::model::{
    ImageType, OfflinePushInfo, V2TimCustomElem, V2TimElem, V2TimFaceElem, V2TimFileElem, V2TimImage,
    V2TimImageElem, V2TimLocationElem, V2TimMergerElem, V2TimSoundElem, V2TimTextElem, V2TimVideoElem,
};

/// Deep enough for every field but those that are objects themselves.
const FLAT: u32 = 1;

/// A strategy for one type of element, with the fields that both shapes have.
macro_rules! common {
    ($variant:ident($elem:ident { $($field:ident),* })) => {
        $elem::any(FLAT)
            .prop_map(|elem| V2TimElem::$variant($elem { $($field: elem.$field,)* ..Default::default() }))
            .boxed()
    };
}

fn sizes() -> impl Strategy<Value = Vec<V2TimImage>> {
    let size = |kind, image: V2TimImage| V2TimImage {
        kind: Some(kind),
        uuid: Some(image.uuid.unwrap_or_default()),
        local_url: None,
        rest: Default::default(),
        ..image
    };
    let kinds = subsequence(vec![ImageType::Original, ImageType::Thumb, ImageType::Large], 0..=3);
    (kinds, vec(V2TimImage::any(FLAT), 3)).prop_map(move |(kinds, images)| {
        kinds.into_iter().zip(images).map(|(kind, image)| size(kind, image)).collect()
    })
}

fn image() -> impl Strategy<Value = V2TimElem> {
    (option::of(String::any(0)), sizes()).prop_map(|(path, sizes)| {
        V2TimElem::Image(V2TimImageElem { path, image_list: Some(sizes), ..Default::default() })
    })
}

/// A bundle of messages, as long as `depth` is not 0.
fn merger(depth: u32) -> BoxedStrategy<V2TimElem> {
    let messages =
        if depth == 0 { Just(None).boxed() } else { option::of(vec(message(depth - 1), 0..3)).boxed() };
    (V2TimMergerElem::any(FLAT), messages)
        .prop_map(|(elem, message_list)| {
            V2TimElem::Merger(V2TimMergerElem {
                is_layers_over_limit: elem.is_layers_over_limit,
                title: elem.title,
                abstract_list: elem.abstract_list,
                message_list,
                ..Default::default()
            })
        })
        .boxed()
}

fn elem(depth: u32) -> impl Strategy<Value = V2TimElem> {
    proptest::strategy::Union::new([
        common!(Text(V2TimTextElem { text })),
        common!(Custom(V2TimCustomElem { data, desc, extension })),
        common!(Sound(V2TimSoundElem { path, uuid, data_size, duration, url, local_url })),
        common!(Video(V2TimVideoElem {
            video_path,
            uuid,
            video_size,
            duration,
            snapshot_path,
            snapshot_uuid,
            snapshot_size,
            snapshot_width,
            snapshot_height,
            video_url,
            snapshot_url,
            local_video_url,
            local_snapshot_url
        })),
        common!(File(V2TimFileElem { path, file_name, uuid, url, file_size, local_url })),
        common!(Location(V2TimLocationElem { desc, longitude, latitude })),
        common!(Face(V2TimFaceElem { index, data })),
        image().boxed(),
        merger(depth),
        Just(V2TimElem::GroupTips(Default::default())).boxed(),
    ])
}

/// Hangs each element at the one before.
fn chain(elems: Vec<V2TimElem>) -> Option<V2TimElem> {
    let behind = |next: Option<V2TimElem>, mut elem: V2TimElem| {
        let link = match &mut elem {
            V2TimElem::Text(elem) => &mut elem.next_elem,
            V2TimElem::Custom(elem) => &mut elem.next_elem,
            V2TimElem::Image(elem) => &mut elem.next_elem,
            V2TimElem::Sound(elem) => &mut elem.next_elem,
            V2TimElem::Video(elem) => &mut elem.next_elem,
            V2TimElem::File(elem) => &mut elem.next_elem,
            V2TimElem::Location(elem) => &mut elem.next_elem,
            V2TimElem::Face(elem) => &mut elem.next_elem,
            V2TimElem::GroupTips(elem) => &mut elem.next_elem,
            V2TimElem::Merger(elem) => &mut elem.next_elem,
            V2TimElem::Other(elem) => &mut elem.next_elem,
        };
        *link = next.map(Box::new);
        Some(elem)
    };
    elems.into_iter().rev().fold(None, behind)
}

/// A group, a user, or neither.
fn conversation() -> impl Strategy<Value = (Option<String>, Option<String>)> {
    prop_oneof![
        "[a-z@#]{1,6}".prop_map(|group| (Some(group), None)),
        "[a-z@#]{1,6}".prop_map(|user| (None, Some(user))),
        Just((None, None)),
    ]
}

fn revoker() -> impl Strategy<Value = Option<V2TimUserFullInfo>> {
    let known = ("[a-z]{1,6}", V2TimUserFullInfo::any(FLAT)).prop_map(|(user, info)| V2TimUserFullInfo {
        user_id: Some(user),
        nick_name: info.nick_name,
        face_url: info.face_url,
        ..Default::default()
    });
    option::of(known)
}

fn members() -> impl Strategy<Value = Option<Vec<String>>> {
    option::of(vec(prop_oneof!["[a-z]{1,4}", Just(model::AT_ALL_TAG.to_owned())], 0..3))
}

fn priority() -> impl Strategy<Value = Option<model::Priority>> {
    use model::Priority::{High, Low, Normal};
    option::of(prop::sample::select(vec![High, Normal, Low]))
}

/// A message of what both shapes can say, with bundles `depth` deep.
fn message(depth: u32) -> BoxedStrategy<V2TimMessage> {
    let flat = (V2TimMessage::any(FLAT), OfflinePushInfo::any(FLAT), any::<bool>());
    let made = (conversation(), revoker(), members(), priority(), vec(elem(depth), 0..4));
    (flat, made)
        .prop_map(|((flat, push, has_push), ((group_id, user_id), revoker, members, priority, elems))| {
            let push = OfflinePushInfo { rest: Default::default(), ..push };
            let mut message = V2TimMessage {
                group_id,
                user_id,
                priority,
                revoker_info: revoker.map(Box::new),
                group_at_user_list: members,
                offline_push_info: has_push.then(|| Box::new(push)),
                ..without_what_one_shape_lacks(flat)
            };
            if let Some(first) = chain(elems) {
                elements::begin_with(&mut message, first);
            }
            message
        })
        .boxed()
}

fn without_what_one_shape_lacks(flat: V2TimMessage) -> V2TimMessage {
    V2TimMessage {
        text_elem: None,
        custom_elem: None,
        image_elem: None,
        sound_elem: None,
        video_elem: None,
        file_elem: None,
        location_elem: None,
        face_elem: None,
        group_tips_elem: None,
        merger_elem: None,
        group_report_elem: None,
        stream_elem: None,
        message_from_web: None,
        quote_info: None,
        rest: Default::default(),
        ..flat
    }
}

proptest! {
    // A case makes some hundred fields and more in bundles; a run takes about a second.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_both_shapes_can_say_comes_back_equal(message in message(1)) {
        let c = to_c(&message);
        prop_assert_eq!(to_camel(&c), message);
        prop_assert_eq!(Message::parse(c.to_json().as_bytes()).unwrap(), c);
    }

    #[test]
    fn what_survives_one_way_survives_the_next(message in V2TimMessage::any(3)) {
        let once = to_camel(&to_c(&message));
        prop_assert_eq!(to_camel(&to_c(&once)), once);
    }

    #[test]
    fn what_survives_one_way_from_the_c_shape_survives_the_next(message in Message::any(2)) {
        let once = to_c(&to_camel(&message));
        prop_assert_eq!(to_c(&to_camel(&once)), once);
    }
}
