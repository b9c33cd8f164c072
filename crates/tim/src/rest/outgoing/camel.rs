//! The camelCase shape as what is to be sent.
//!
//! Owns:  its fields and numbers.
//! Never: refuses what the other shape could refuse as well (`outgoing` does).

use super::super::body::{AndroidInfo, ApnsInfo, OfflinePush};
use super::super::parts::{self, Clip, Custom, Image, Location, Media, Part, Picture};
use super::super::refusal::CannotCarry;
use super::{Envelope, Outgoing, said};
use crate::model::{
    Elem, ImageType, OfflinePushInfo, Priority, V2TimFileElem, V2TimImage, V2TimImageElem, V2TimMessage,
    V2TimSoundElem, V2TimVideoElem,
};

pub(super) fn read(message: &V2TimMessage, envelope: Envelope) -> Result<Outgoing, CannotCarry> {
    let yes = |flag: Option<bool>| flag == Some(true);
    Ok(Outgoing {
        sender: envelope.sender,
        to: envelope.to,
        parts: message.elements().map(part).collect::<Result<_, _>>()?,
        priority: message.priority.and_then(|priority| match priority {
            Priority::High => Some("High"),
            Priority::Default | Priority::Normal => Some("Normal"),
            Priority::Low => Some("Low"),
            Priority::Other(_) => None,
        }),
        cloud_custom_data: said(message.cloud_custom_data.as_ref()),
        push: message.offline_push_info.as_deref().map(push).unwrap_or_default(),
        at: envelope.at,
        needs_read_receipt: yes(message.need_read_receipt),
        supports_extension: yes(message.is_support_message_extension),
        is_not_unread: yes(message.is_excluded_from_unread_count),
        is_not_last: yes(message.is_excluded_from_last_message),
    })
}

fn part(elem: Elem<'_>) -> Result<Part, CannotCarry> {
    let missing = |field| CannotCarry::Missing { field };
    match elem {
        Elem::Text(text) => {
            Ok(Part::Text { text: text.text.clone().ok_or_else(|| missing("textElem.text"))? })
        }
        Elem::Custom(custom) => Ok(Part::Custom(Custom {
            data: custom.data.clone().unwrap_or_default(),
            desc: said(custom.desc.as_ref()),
            ext: said(custom.extension.as_ref()),
            sound: None,
        })),
        Elem::Location(place) => Ok(Part::Location(Location {
            desc: place.desc.clone().unwrap_or_default(),
            latitude: place.latitude.ok_or_else(|| missing("locationElem.latitude"))?,
            longitude: place.longitude.ok_or_else(|| missing("locationElem.longitude"))?,
        })),
        Elem::Face(face) => Ok(Part::Face {
            index: face.index.ok_or_else(|| missing("faceElem.index"))?,
            data: face.data.clone().unwrap_or_default(),
        }),
        Elem::Image(image) => picture(image),
        Elem::Sound(sound) => recording(sound),
        Elem::File(file) => document(file),
        Elem::Video(video) => clip(video),
        Elem::Merger(_) => Err(CannotCarry::Merged),
        Elem::GroupTips(_) => Err(CannotCarry::GroupTips),
        Elem::Other(other) => {
            Err(CannotCarry::UnknownElement { elem_type: other.elem_type.map_or(-1, |kind| kind.number()) })
        }
    }
}

fn picture(image: &V2TimImageElem) -> Result<Part, CannotCarry> {
    let sizes = image.image_list.as_deref().unwrap_or_default();
    let with_url: Vec<(&V2TimImage, Media)> = sizes
        .iter()
        .filter_map(|size| Some((size, Media::new(size.url.as_deref(), size.uuid.as_deref(), size.size)?)))
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
                width: size.width.unwrap_or(0),
                height: size.height.unwrap_or(0),
                url: media.url,
            })
            .collect(),
    }))
}

fn recording(sound: &V2TimSoundElem) -> Result<Part, CannotCarry> {
    let media = Media::new(sound.url.as_deref(), sound.uuid.as_deref(), sound.data_size);
    let media = media.ok_or(CannotCarry::LocalFile { element: "soundElem" })?;
    Ok(parts::sound(media, sound.duration))
}

fn document(file: &V2TimFileElem) -> Result<Part, CannotCarry> {
    let media = Media::new(file.url.as_deref(), file.uuid.as_deref(), file.file_size);
    let media = media.ok_or(CannotCarry::LocalFile { element: "fileElem" })?;
    Ok(parts::file(media, file.file_name.as_deref()))
}

fn clip(video: &V2TimVideoElem) -> Result<Part, CannotCarry> {
    let media = Media::new(video.video_url.as_deref(), video.uuid.as_deref(), video.video_size);
    let snapshot =
        Media::new(video.snapshot_url.as_deref(), video.snapshot_uuid.as_deref(), video.snapshot_size);
    Ok(parts::video(Clip {
        video: media.ok_or(CannotCarry::LocalFile { element: "videoElem" })?,
        seconds: video.duration,
        format: None,
        thumb: snapshot.ok_or(CannotCarry::LocalFile { element: "videoElem's snapshot" })?,
        thumb_width: video.snapshot_width,
        thumb_height: video.snapshot_height,
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
            vivo_classification: info.android_vivo_classification,
            huawei_category: said(info.android_huawei_category.as_ref()),
        },
        apns_info: ApnsInfo {
            sound: said(info.ios_sound.as_ref()),
            badge_mode: u8::from(info.ignore_ios_badge == Some(true)),
            image: said(info.ios_image.as_ref()),
        },
    }
}
