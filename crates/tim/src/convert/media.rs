//! Pictures, recordings, videos and files, from one shape to the other.
//!
//! Owns:  which key of the one is which of the other; the sizes of a picture as a list and as keys.
//! Never: the other elements, the order of elements.

use crate::c_shape::{ElemType, Element};
use crate::model::{ImageType, V2TimFileElem, V2TimImage, V2TimImageElem, V2TimSoundElem, V2TimVideoElem};

pub(super) fn image_to_c(image: &V2TimImageElem) -> Element {
    let of = |kind| {
        let mut sizes = image.image_list.iter().flatten();
        sizes.find(|size| size.kind == Some(kind)).cloned().unwrap_or_default()
    };
    let (orig, thumb, large) = (of(ImageType::Original), of(ImageType::Thumb), of(ImageType::Large));
    Element {
        elem_type: Some(ElemType::Image),
        image_orig_path: image.path.clone(),
        image_orig_id: orig.uuid,
        image_orig_url: orig.url,
        image_orig_pic_width: orig.width,
        image_orig_pic_height: orig.height,
        image_orig_pic_size: orig.size,
        image_thumb_id: thumb.uuid,
        image_thumb_url: thumb.url,
        image_thumb_pic_width: thumb.width,
        image_thumb_pic_height: thumb.height,
        image_thumb_pic_size: thumb.size,
        image_large_id: large.uuid,
        image_large_url: large.url,
        image_large_pic_width: large.width,
        image_large_pic_height: large.height,
        image_large_pic_size: large.size,
        ..Element::default()
    }
}

/// Always with a list, as the Dart model has it; in it the sizes of which anything is known.
pub(super) fn image_to_camel(element: &Element) -> V2TimImageElem {
    let orig = V2TimImage {
        uuid: element.image_orig_id.clone(),
        url: element.image_orig_url.clone(),
        width: element.image_orig_pic_width,
        height: element.image_orig_pic_height,
        size: element.image_orig_pic_size,
        ..V2TimImage::default()
    };
    let thumb = V2TimImage {
        uuid: element.image_thumb_id.clone(),
        url: element.image_thumb_url.clone(),
        width: element.image_thumb_pic_width,
        height: element.image_thumb_pic_height,
        size: element.image_thumb_pic_size,
        ..V2TimImage::default()
    };
    let large = V2TimImage {
        uuid: element.image_large_id.clone(),
        url: element.image_large_url.clone(),
        width: element.image_large_pic_width,
        height: element.image_large_pic_height,
        size: element.image_large_pic_size,
        ..V2TimImage::default()
    };
    let sizes = [(ImageType::Original, orig), (ImageType::Thumb, thumb), (ImageType::Large, large)];
    let known = sizes.into_iter().filter(|(_, size)| *size != V2TimImage::default());
    V2TimImageElem {
        path: element.image_orig_path.clone(),
        image_list: Some(known.map(|(kind, size)| V2TimImage { kind: Some(kind), ..size }).collect()),
        ..V2TimImageElem::default()
    }
}

pub(super) fn sound_to_c(sound: &V2TimSoundElem) -> Element {
    Element {
        elem_type: Some(ElemType::Sound),
        sound_file_path: sound.path.clone(),
        sound_file_size: sound.data_size,
        sound_file_time: sound.duration,
        sound_file_id: sound.uuid.clone(),
        sound_url: sound.url.clone(),
        local_url: sound.local_url.clone(),
        ..Element::default()
    }
}

pub(super) fn sound_to_camel(element: &Element) -> V2TimSoundElem {
    V2TimSoundElem {
        path: element.sound_file_path.clone(),
        uuid: element.sound_file_id.clone(),
        data_size: element.sound_file_size,
        duration: element.sound_file_time,
        url: element.sound_url.clone(),
        local_url: element.local_url.clone(),
        ..V2TimSoundElem::default()
    }
}

pub(super) fn video_to_c(video: &V2TimVideoElem) -> Element {
    Element {
        elem_type: Some(ElemType::Video),
        video_video_path: video.video_path.clone(),
        video_video_id: video.uuid.clone(),
        video_video_size: video.video_size,
        video_video_duration: video.duration,
        video_video_url: video.video_url.clone(),
        video_image_path: video.snapshot_path.clone(),
        video_image_id: video.snapshot_uuid.clone(),
        video_image_size: video.snapshot_size,
        video_image_width: video.snapshot_width,
        video_image_height: video.snapshot_height,
        video_image_url: video.snapshot_url.clone(),
        local_video_url: video.local_video_url.clone(),
        local_snapshot_url: video.local_snapshot_url.clone(),
        ..Element::default()
    }
}

pub(super) fn video_to_camel(element: &Element) -> V2TimVideoElem {
    V2TimVideoElem {
        video_path: element.video_video_path.clone(),
        uuid: element.video_video_id.clone(),
        video_size: element.video_video_size,
        duration: element.video_video_duration,
        video_url: element.video_video_url.clone(),
        snapshot_path: element.video_image_path.clone(),
        snapshot_uuid: element.video_image_id.clone(),
        snapshot_size: element.video_image_size,
        snapshot_width: element.video_image_width,
        snapshot_height: element.video_image_height,
        snapshot_url: element.video_image_url.clone(),
        local_video_url: element.local_video_url.clone(),
        local_snapshot_url: element.local_snapshot_url.clone(),
        ..V2TimVideoElem::default()
    }
}

pub(super) fn file_to_c(file: &V2TimFileElem) -> Element {
    Element {
        elem_type: Some(ElemType::File),
        file_file_path: file.path.clone(),
        file_file_name: file.file_name.clone(),
        file_file_size: file.file_size,
        file_file_id: file.uuid.clone(),
        file_url: file.url.clone(),
        local_url: file.local_url.clone(),
        ..Element::default()
    }
}

pub(super) fn file_to_camel(element: &Element) -> V2TimFileElem {
    V2TimFileElem {
        path: element.file_file_path.clone(),
        file_name: element.file_file_name.clone(),
        uuid: element.file_file_id.clone(),
        url: element.file_url.clone(),
        file_size: element.file_file_size,
        local_url: element.local_url.clone(),
        ..V2TimFileElem::default()
    }
}
