//! The elements of the C shape: what a message says.
//!
//! Owns:  the keys of an object in `message_elem_array`, for every type that an app can send.
//! Never: the keys of group tips and of notices, which stay in `rest`; the order of elements.

use super::Message;
use super::kinds::{ElemType, ImageLevel};
use crate::fields::shape;

shape! {
    /// One object of `message_elem_array`: `elem_type`, and beside it the keys of that one type, which all
    /// begin with the type's name. Keys from the vendor's C header; the Flutter models of 8.9 add the three
    /// at the end.
    pub struct Element {
        /// What it is, and thereby which of the fields below count.
        elem_type: ElemType = "elem_type",

        /// Text: what it says.
        text_content: String = "text_elem_content",

        /// Custom: the data. Bytes must be made a text by the app.
        custom_data: String = "custom_elem_data",
        /// Custom: what a notification says of it. Without it nobody is notified.
        custom_desc: String = "custom_elem_desc",
        /// Custom: further data; the app says what it is for.
        custom_ext: String = "custom_elem_ext",
        /// Custom: the sound of its notification. The camelCase shape lacks it.
        custom_sound: String = "custom_elem_sound",

        /// Image: the file that is to be uploaded, on the sender's device.
        image_orig_path: String = "image_elem_orig_path",
        /// Image: in which quality it is uploaded. The camelCase shape lacks it.
        image_level: ImageLevel = "image_elem_level",
        /// Image: 1 JPEG, 2 GIF, 3 PNG, 4 BMP, 255 unknown. The camelCase shape lacks it.
        image_format: i64 = "image_elem_format",
        /// Image: the original's name in the service's storage; missing until it is uploaded, as all the
        /// following.
        image_orig_id: String = "image_elem_orig_id",
        /// Image: where the original can be loaded.
        image_orig_url: String = "image_elem_orig_url",
        /// Image: the original's width in pixels.
        image_orig_pic_width: i64 = "image_elem_orig_pic_width",
        /// Image: the original's height in pixels.
        image_orig_pic_height: i64 = "image_elem_orig_pic_height",
        /// Image: the original's bytes.
        image_orig_pic_size: i64 = "image_elem_orig_pic_size",
        /// Image: the name of the small one, whose shorter side has at most 198 pixels.
        image_thumb_id: String = "image_elem_thumb_id",
        /// Image: where the small one can be loaded.
        image_thumb_url: String = "image_elem_thumb_url",
        /// Image: the small one's width in pixels.
        image_thumb_pic_width: i64 = "image_elem_thumb_pic_width",
        /// Image: the small one's height in pixels.
        image_thumb_pic_height: i64 = "image_elem_thumb_pic_height",
        /// Image: the small one's bytes.
        image_thumb_pic_size: i64 = "image_elem_thumb_pic_size",
        /// Image: the name of the large one, whose shorter side has at most 720 pixels.
        image_large_id: String = "image_elem_large_id",
        /// Image: where the large one can be loaded.
        image_large_url: String = "image_elem_large_url",
        /// Image: the large one's width in pixels.
        image_large_pic_width: i64 = "image_elem_large_pic_width",
        /// Image: the large one's height in pixels.
        image_large_pic_height: i64 = "image_elem_large_pic_height",
        /// Image: the large one's bytes.
        image_large_pic_size: i64 = "image_elem_large_pic_size",

        /// Sound: the file that is to be uploaded, on the sender's device.
        sound_file_path: String = "sound_elem_file_path",
        /// Sound: bytes. The C header speaks of seconds here, by mistake.
        sound_file_size: i64 = "sound_elem_file_size",
        /// Sound: seconds.
        sound_file_time: i64 = "sound_elem_file_time",
        /// Sound: its name in the service's storage.
        sound_file_id: String = "sound_elem_file_id",
        /// Sound: where it can be loaded.
        sound_url: String = "sound_elem_url",

        /// Video: its format, as `mp4`. The camelCase shape lacks it.
        video_video_type: String = "video_elem_video_type",
        /// Video: bytes.
        video_video_size: i64 = "video_elem_video_size",
        /// Video: seconds.
        video_video_duration: i64 = "video_elem_video_duration",
        /// Video: the file that is to be uploaded, on the sender's device.
        video_video_path: String = "video_elem_video_path",
        /// Video: its name in the service's storage.
        video_video_id: String = "video_elem_video_id",
        /// Video: where it can be loaded.
        video_video_url: String = "video_elem_video_url",
        /// Video: the cover picture's format, as `png`. Not in the Flutter models; the camelCase shape
        /// lacks it.
        video_image_type: String = "video_elem_image_type",
        /// Video: the cover picture's bytes.
        video_image_size: i64 = "video_elem_image_size",
        /// Video: the cover picture's width in pixels.
        video_image_width: i64 = "video_elem_image_width",
        /// Video: the cover picture's height in pixels.
        video_image_height: i64 = "video_elem_image_height",
        /// Video: the cover picture's file, on the sender's device.
        video_image_path: String = "video_elem_image_path",
        /// Video: the cover picture's name in the service's storage.
        video_image_id: String = "video_elem_image_id",
        /// Video: where the cover picture can be loaded.
        video_image_url: String = "video_elem_image_url",

        /// File: the file that is to be uploaded, on the sender's device.
        file_file_path: String = "file_elem_file_path",
        /// File: its name, as the reader sees it.
        file_file_name: String = "file_elem_file_name",
        /// File: bytes.
        file_file_size: i64 = "file_elem_file_size",
        /// File: its name in the service's storage.
        file_file_id: String = "file_elem_file_id",
        /// File: where it can be loaded.
        file_url: String = "file_elem_url",

        /// Location: what the place is called.
        location_desc: String = "location_elem_desc",
        /// Location: degrees, east is positive.
        location_longitude: f64 = "location_elem_longitude",
        /// Location: degrees, north is positive.
        location_latitude: f64 = "location_elem_latitude",

        /// Face: its number; the app says what it means.
        face_index: i64 = "face_elem_index",
        /// Face: further data of the app's own. Bytes must be made a text by the app.
        face_buf: String = "face_elem_buf",

        /// Merge: what the bundle is called.
        merge_title: String = "merge_elem_title",
        /// Merge: what its first messages say, a line each.
        merge_abstract_array: Vec<String> = "merge_elem_abstract_array",
        /// Merge: the text for SDKs that know no bundles; must not be empty when it is sent. The camelCase
        /// shape lacks it.
        merge_compatible_text: String = "merge_elem_compatible_text",
        /// Merge: the messages themselves, at most 300; missing in a bundle that was received.
        merge_message_array: Vec<Message> = "merge_elem_message_array",
        /// Merge: whether bundles are inside bundles deeper than the service goes, 100 levels.
        merge_layer_over_limit: bool = "merge_elem_layer_over_limit",

        /// Sound and file: the file on this device, once it was loaded. The Flutter models alone write it.
        local_url: String = "localUrl",
        /// Video: its file on this device, once it was loaded. The Flutter models alone write it.
        local_video_url: String = "localVideoUrl",
        /// Video: the cover picture's file on this device, once it was loaded. The Flutter models alone
        /// write it.
        local_snapshot_url: String = "localSnapshotUrl",
    }
}
