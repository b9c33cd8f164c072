//! The C SDK's snake_case shape as what is to be sent.
//!
//! Owns:  its fields and numbers.
//! Never: refuses what the other shape could refuse as well (`outgoing` does).

use super::super::body::{AndroidInfo, ApnsInfo, OfflinePush};
use super::super::parts::{self, Clip, Custom, Image, Location, Media, Part, Picture};
use super::super::refusal::CannotCarry;
use super::{Addressed, Outgoing, count, said, text, vivo_classification};
use crate::c_shape::{ElemType, Element, Message, OfflinePushConfig, Priority, PushFlag};
use crate::convert::push_title;

/// Formats of pictures that have a number; REST has the same.
const IMAGE_FORMATS: std::ops::RangeInclusive<i64> = 1..=4;

pub(super) fn read(message: &Message, addressed: Addressed) -> Result<Outgoing, CannotCarry> {
    let yes = |flag: Option<bool>| flag == Some(true);
    let elements = message.elem_array.as_deref().unwrap_or_default();
    Ok(Outgoing {
        sender: addressed.sender,
        to: addressed.to,
        parts: elements.iter().map(part).collect::<Result<_, _>>()?,
        priority: message.priority.and_then(|priority| match priority {
            Priority::High => Some("High"),
            Priority::Normal => Some("Normal"),
            Priority::Low | Priority::Lowest => Some("Low"),
            Priority::Other(_) => None,
        }),
        cloud_custom_data: Some(text(
            message.cloud_custom_str.as_ref(),
            &message.rest,
            "message_cloud_custom_str",
            "message_cloud_custom_str",
        )?)
        .filter(|data| !data.is_empty()),
        push: message.offline_push_config.as_deref().map(push).unwrap_or_default(),
        at: addressed.at,
        needs_read_receipt: yes(message.need_read_receipt),
        is_without_pre_hook: yes(message.disable_cloud_message_pre_hook),
        is_without_post_hook: yes(message.disable_cloud_message_post_hook),
        supports_extension: yes(message.support_message_extension),
        is_not_unread: yes(message.is_excluded_from_unread_count),
        is_not_last: yes(message.excluded_from_last_message),
    })
}

fn part(elem: &Element) -> Result<Part, CannotCarry> {
    let missing = |field| CannotCarry::Missing { field };
    let number = |field, name| count(field, &elem.rest, name);
    match elem.elem_type {
        Some(ElemType::Text) => {
            Ok(Part::Text { text: elem.text_content.clone().ok_or_else(|| missing("text_elem_content"))? })
        }
        Some(ElemType::Custom) => Ok(Part::Custom(Custom {
            data: text(elem.custom_data.as_ref(), &elem.rest, "custom_elem_data", "custom_elem_data")?,
            desc: said(elem.custom_desc.as_ref()),
            ext: said(elem.custom_ext.as_ref()),
            sound: said(elem.custom_sound.as_ref()),
        })),
        Some(ElemType::Location) => Ok(Part::Location(Location {
            desc: text(elem.location_desc.as_ref(), &elem.rest, "location_elem_desc", "location_elem_desc")?,
            latitude: elem.location_latitude.ok_or_else(|| missing("location_elem_latitude"))?,
            longitude: elem.location_longitude.ok_or_else(|| missing("location_elem_longitude"))?,
        })),
        Some(ElemType::Face) => Ok(Part::Face {
            index: elem.face_index.ok_or_else(|| missing("face_elem_index"))?,
            data: text(elem.face_buf.as_ref(), &elem.rest, "face_elem_buf", "face_elem_buf")?,
        }),
        Some(ElemType::Image) => picture(elem),
        Some(ElemType::Sound) => {
            let bytes = number(elem.sound_file_size, "sound_elem_file_size");
            let media = Media::new(elem.sound_url.as_deref(), elem.sound_file_id.as_deref(), bytes);
            let media = media.ok_or(CannotCarry::LocalFile { element: "sound_elem" })?;
            Ok(parts::sound(media, number(elem.sound_file_time, "sound_elem_file_time")))
        }
        Some(ElemType::File) => {
            let bytes = number(elem.file_file_size, "file_elem_file_size");
            let media = Media::new(elem.file_url.as_deref(), elem.file_file_id.as_deref(), bytes);
            let media = media.ok_or(CannotCarry::LocalFile { element: "file_elem" })?;
            Ok(parts::file(media, elem.file_file_name.as_deref()))
        }
        Some(ElemType::Video) => clip(elem),
        Some(ElemType::Merge) => Err(CannotCarry::Merged),
        Some(ElemType::GroupTips) => Err(CannotCarry::GroupTips),
        Some(notice @ (ElemType::GroupReport | ElemType::FriendChange | ElemType::ProfileChange)) => {
            Err(CannotCarry::Notice { elem_type: notice.number() })
        }
        other => Err(CannotCarry::UnknownElement { elem_type: other.map_or(-1, ElemType::number) }),
    }
}

fn picture(elem: &Element) -> Result<Part, CannotCarry> {
    let number = |field, name| count(field, &elem.rest, name);
    let media =
        |url: &Option<String>, id: &Option<String>, bytes| Media::new(url.as_deref(), id.as_deref(), bytes);
    let bytes = number(elem.image_orig_pic_size, "image_elem_orig_pic_size");
    let original = Size {
        kind: 1,
        media: media(&elem.image_orig_url, &elem.image_orig_id, bytes),
        width: number(elem.image_orig_pic_width, "image_elem_orig_pic_width"),
        height: number(elem.image_orig_pic_height, "image_elem_orig_pic_height"),
    };
    let bytes = number(elem.image_large_pic_size, "image_elem_large_pic_size");
    let large = Size {
        kind: 2,
        media: media(&elem.image_large_url, &elem.image_large_id, bytes),
        width: number(elem.image_large_pic_width, "image_elem_large_pic_width"),
        height: number(elem.image_large_pic_height, "image_elem_large_pic_height"),
    };
    let bytes = number(elem.image_thumb_pic_size, "image_elem_thumb_pic_size");
    let thumb = Size {
        kind: 3,
        media: media(&elem.image_thumb_url, &elem.image_thumb_id, bytes),
        width: number(elem.image_thumb_pic_width, "image_elem_thumb_pic_width"),
        height: number(elem.image_thumb_pic_height, "image_elem_thumb_pic_height"),
    };
    let mut uuid = None;
    let sizes: Vec<Picture> =
        [original, large, thumb].into_iter().filter_map(|size| size.picture(&mut uuid)).collect();
    let (Some(uuid), Some(first)) = (uuid, sizes.first()) else {
        return Err(CannotCarry::LocalFile { element: "image_elem" });
    };
    let name = said(elem.image_orig_path.as_ref()).unwrap_or_else(|| first.url.clone());
    let told = elem.image_format.filter(|format| IMAGE_FORMATS.contains(format));
    Ok(Part::Image(Image {
        uuid,
        image_format: told.unwrap_or_else(|| parts::image_format(&name)),
        image_info_array: sizes,
    }))
}

/// One size of a picture, which may not be there.
struct Size {
    kind: i64,
    media: Option<Media>,
    width: i64,
    height: i64,
}

impl Size {
    /// The picture's UUID is that of the first size that has a URL.
    fn picture(self, uuid: &mut Option<String>) -> Option<Picture> {
        let media = self.media?;
        uuid.get_or_insert(media.uuid);
        Some(Picture {
            kind: self.kind,
            size: media.size,
            width: self.width,
            height: self.height,
            url: media.url,
        })
    }
}

fn clip(elem: &Element) -> Result<Part, CannotCarry> {
    let number = |field, name| count(field, &elem.rest, name);
    let bytes = number(elem.video_video_size, "video_elem_video_size");
    let video = Media::new(elem.video_video_url.as_deref(), elem.video_video_id.as_deref(), bytes);
    let bytes = number(elem.video_image_size, "video_elem_image_size");
    let thumb = Media::new(elem.video_image_url.as_deref(), elem.video_image_id.as_deref(), bytes);
    Ok(parts::video(Clip {
        video: video.ok_or(CannotCarry::LocalFile { element: "video_elem" })?,
        seconds: number(elem.video_video_duration, "video_elem_video_duration"),
        format: elem.video_video_type.clone(),
        thumb: thumb.ok_or(CannotCarry::LocalFile { element: "video_elem's image" })?,
        thumb_width: number(elem.video_image_width, "video_elem_image_width"),
        thumb_height: number(elem.video_image_height, "video_elem_image_height"),
        thumb_format: elem.video_image_type.clone(),
    }))
}

fn push(config: &OfflinePushConfig) -> OfflinePush {
    let android = config.android_config.as_deref().cloned().unwrap_or_default();
    let ios = config.ios_config.as_deref().cloned().unwrap_or_default();
    OfflinePush {
        push_flag: u8::from(config.flag.is_some_and(|flag| flag != PushFlag::Default)),
        title: said(push_title(config).as_ref()),
        desc: said(config.desc.as_ref()),
        ext: said(config.ext.as_ref()),
        android_info: AndroidInfo {
            sound: said(android.sound.as_ref()),
            oppo_channel_id: said(android.oppo_channel_id.as_ref()),
            google_channel_id: said(android.fcm_channel_id.as_ref()),
            xiaomi_channel_id: said(android.xiaomi_channel_id.as_ref()),
            vivo_classification: vivo_classification(android.vivo_classification),
            huawei_category: said(android.huawei_category.as_ref()),
        },
        apns_info: ApnsInfo {
            title: said(ios.title.as_ref()),
            sound: said(ios.sound.as_ref()),
            badge_mode: u8::from(ios.ignore_badge == Some(true)),
            image: said(ios.image.as_ref()),
        },
    }
}
