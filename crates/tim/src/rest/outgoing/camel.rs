//! The camelCase shape as what is to be sent.
//!
//! Owns:  its fields and numbers.
//! Never: refuses what the other shape could refuse as well (`outgoing` does).

use std::borrow::Cow;

use serde_json::Value;

use super::super::body::{AndroidInfo, ApnsInfo, OfflinePush};
use super::super::parts::{self, Clip, Custom, Image, Location, Media, Part, Picture};
use super::super::refusal::CannotCarry;
use super::{Addressed, Outgoing, count, said, text, vivo_classification};
use crate::fields::Wire;
use crate::model::{
    Elem, ElemType, ImageType, OfflinePushInfo, Priority, V2TimFileElem, V2TimImage, V2TimImageElem,
    V2TimMessage, V2TimSoundElem, V2TimVideoElem,
};

pub(super) fn read(message: &V2TimMessage, addressed: Addressed) -> Result<Outgoing, CannotCarry> {
    let yes = |flag: Option<bool>| flag == Some(true);
    Ok(Outgoing {
        sender: addressed.sender,
        to: addressed.to,
        parts: message.elements().map(|elem| part(message, elem)).collect::<Result<_, _>>()?,
        priority: message.priority.and_then(|priority| match priority {
            Priority::High => Some("High"),
            Priority::Default | Priority::Normal => Some("Normal"),
            Priority::Low => Some("Low"),
            Priority::Other(_) => None,
        }),
        cloud_custom_data: Some(text(
            message.cloud_custom_data.as_ref(),
            &message.rest,
            "cloudCustomData",
            "cloudCustomData",
        )?)
        .filter(|data| !data.is_empty()),
        push: message.offline_push_info.as_deref().map(push).unwrap_or_default(),
        at: addressed.at,
        needs_read_receipt: yes(message.need_read_receipt),
        is_without_pre_hook: yes(message.is_disable_cloud_message_pre_hook),
        is_without_post_hook: yes(message.is_disable_cloud_message_post_hook),
        supports_extension: yes(message.is_support_message_extension),
        is_not_unread: yes(message.is_excluded_from_unread_count),
        is_not_last: yes(message.is_excluded_from_last_message),
    })
}

fn part(message: &V2TimMessage, elem: Elem<'_>) -> Result<Part, CannotCarry> {
    let missing = |field| CannotCarry::Missing { field };
    match elem {
        Elem::Text(elem) => {
            Ok(Part::Text { text: elem.text.clone().ok_or_else(|| missing("textElem.text"))? })
        }
        Elem::Custom(custom) => Ok(Part::Custom(Custom {
            data: text(custom.data.as_ref(), &custom.rest, "data", "customElem.data")?,
            desc: said(custom.desc.as_ref()),
            ext: said(custom.extension.as_ref()),
            sound: None,
        })),
        Elem::Location(place) => Ok(Part::Location(Location {
            desc: text(place.desc.as_ref(), &place.rest, "desc", "locationElem.desc")?,
            latitude: place.latitude.ok_or_else(|| missing("locationElem.latitude"))?,
            longitude: place.longitude.ok_or_else(|| missing("locationElem.longitude"))?,
        })),
        Elem::Face(face) => Ok(Part::Face {
            index: face.index.ok_or_else(|| missing("faceElem.index"))?,
            data: text(face.data.as_ref(), &face.rest, "data", "faceElem.data")?,
        }),
        Elem::Image(image) => picture(image),
        Elem::Sound(sound) => recording(sound),
        Elem::File(file) => document(file),
        Elem::Video(video) => clip(video),
        Elem::Merger(_) => Err(CannotCarry::Merged),
        Elem::GroupTips(_) => Err(CannotCarry::GroupTips),
        Elem::Other(other) => {
            let elem_type = other.elem_type.or(message.elem_type).map_or(-1, ElemType::number);
            let report = message.group_report_elem.as_deref();
            if report.is_some_and(|report| std::ptr::eq(report, other)) {
                return Err(CannotCarry::Notice { elem_type });
            }
            Err(CannotCarry::UnknownElement { elem_type })
        }
    }
}

fn picture(image: &V2TimImageElem) -> Result<Part, CannotCarry> {
    let sizes = sizes(image);
    let with_url: Vec<(&V2TimImage, Media)> = sizes
        .iter()
        .filter_map(|size| {
            let bytes = count(size.size, &size.rest, "size");
            Some((size, Media::new(size.url.as_deref(), size.uuid.as_deref(), bytes)?))
        })
        .collect();
    let Some((_, first)) = with_url.first() else {
        return Err(CannotCarry::LocalFile { element: "imageElem" });
    };
    let name = said(image.path.as_ref()).unwrap_or_else(|| first.url.clone());
    Ok(Part::Image(Image {
        uuid: first.uuid.clone(),
        image_format: parts::image_format(&name),
        image_info_array: with_url
            .into_iter()
            .map(|(size, media)| Picture {
                kind: match size.kind {
                    Some(ImageType::Thumb) => 3,
                    Some(ImageType::Large) => 2,
                    _ => 1,
                },
                size: media.size,
                width: count(size.width, &size.rest, "width"),
                height: count(size.height, &size.rest, "height"),
                url: media.url,
            })
            .collect(),
    }))
}

/// The sizes of a picture. One that cannot be read is none; the others stay.
fn sizes(image: &V2TimImageElem) -> Cow<'_, [V2TimImage]> {
    match (&image.image_list, image.rest.get("imageList")) {
        (Some(sizes), _) => sizes.into(),
        (None, Some(Value::Array(items))) => items.iter().filter_map(V2TimImage::read).collect(),
        _ => Cow::default(),
    }
}

fn recording(sound: &V2TimSoundElem) -> Result<Part, CannotCarry> {
    let bytes = count(sound.data_size, &sound.rest, "dataSize");
    let media = Media::new(sound.url.as_deref(), sound.uuid.as_deref(), bytes);
    let media = media.ok_or(CannotCarry::LocalFile { element: "soundElem" })?;
    Ok(parts::sound(media, count(sound.duration, &sound.rest, "duration")))
}

fn document(file: &V2TimFileElem) -> Result<Part, CannotCarry> {
    let bytes = count(file.file_size, &file.rest, "fileSize");
    let media = Media::new(file.url.as_deref(), file.uuid.as_deref(), bytes);
    let media = media.ok_or(CannotCarry::LocalFile { element: "fileElem" })?;
    Ok(parts::file(media, file.file_name.as_deref()))
}

fn clip(video: &V2TimVideoElem) -> Result<Part, CannotCarry> {
    let number = |field, name| count(field, &video.rest, name);
    let bytes = number(video.video_size, "videoSize");
    let media = Media::new(video.video_url.as_deref(), video.uuid.as_deref(), bytes);
    let bytes = number(video.snapshot_size, "snapshotSize");
    let snapshot = Media::new(video.snapshot_url.as_deref(), video.snapshot_uuid.as_deref(), bytes);
    Ok(parts::video(Clip {
        video: media.ok_or(CannotCarry::LocalFile { element: "videoElem" })?,
        seconds: number(video.duration, "duration"),
        format: None,
        thumb: snapshot.ok_or(CannotCarry::LocalFile { element: "videoElem's snapshot" })?,
        thumb_width: number(video.snapshot_width, "snapshotWidth"),
        thumb_height: number(video.snapshot_height, "snapshotHeight"),
        thumb_format: None,
    }))
}

fn push(info: &OfflinePushInfo) -> OfflinePush {
    OfflinePush {
        push_flag: u8::from(info.disable_push == Some(true)),
        title: said(info.title.as_ref()),
        desc: said(info.desc.as_ref()),
        ext: said(info.ext.as_ref()),
        android_info: AndroidInfo {
            sound: said(info.android_sound.as_ref()),
            oppo_channel_id: said(info.android_oppo_channel_id.as_ref()),
            google_channel_id: said(info.android_fcm_channel_id.as_ref()),
            xiaomi_channel_id: said(info.android_xiaomi_channel_id.as_ref()),
            vivo_classification: vivo_classification(info.android_vivo_classification),
            huawei_category: said(info.android_huawei_category.as_ref()),
        },
        apns_info: ApnsInfo {
            // One title serves all.
            title: None,
            sound: said(info.ios_sound.as_ref()),
            badge_mode: u8::from(info.ignore_ios_badge == Some(true)),
            image: said(info.ios_image.as_ref()),
        },
    }
}
