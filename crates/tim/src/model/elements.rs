//! The elements: what a message says.
//!
//! Owns:  the fields of each element that an app can send.
//! Never: group tips (`group`), the order of a chain (`chain`).

use super::chain::V2TimElem;
use super::kinds::ImageType;
use crate::fields::shape;
use crate::model::V2TimMessage;

shape! {
    /// A text.
    pub struct V2TimTextElem {
        /// What it says.
        text: String = "text",
        /// The element after it, in a message of several.
        next_elem: Box<V2TimElem> = "nextElem",
    }

    /// Data of the app's own.
    pub struct V2TimCustomElem {
        /// The data. Bytes that are no UTF-8 are lost: the Android bridge decodes them as text, iOS writes
        /// an empty one.
        data: String = "data",
        /// What a notification says of it. Without it nobody is notified. The web bridge takes it from a
        /// field `discription`.
        desc: String = "desc",
        /// Further data; the app says what it is for.
        extension: String = "extension",
        /// The element after it, in a message of several. The Android bridge always writes the key: `{}` or
        /// null where the chain ends, which is read as `None`.
        next_elem: Box<V2TimElem> = "nextElem",
    }

    /// A picture, in up to three sizes.
    pub struct V2TimImageElem {
        /// The file that is to be uploaded, on the sender's device; while it is being sent. A URL on the
        /// web.
        path: String = "path",
        /// What the service made of it. Empty on Android until it is uploaded; on iOS one object without
        /// any field of [`V2TimImage`] then.
        image_list: Vec<V2TimImage> = "imageList",
        /// The element after it, in a message of several.
        next_elem: Box<V2TimElem> = "nextElem",
    }

    /// One size of a picture.
    pub struct V2TimImage {
        /// Its name in the service's storage. The Flutter model writes `uuid`, as the iOS bridge does; the
        /// Android bridge and the oldest plugin write `UUID`.
        uuid: String = "uuid" | "UUID",
        /// Which size it is; `type` in JSON. The web bridge hands on the web SDK's number as it is.
        kind: ImageType = "type",
        /// Bytes.
        size: i64 = "size",
        /// Pixels.
        width: i64 = "width",
        /// Pixels.
        height: i64 = "height",
        /// Where it can be loaded.
        url: String = "url",
        /// The file on this device, once it was loaded. Not on the web, nor in the oldest plugin.
        local_url: String = "localUrl",
    }

    /// A voice recording.
    pub struct V2TimSoundElem {
        /// The file that is to be uploaded, on the sender's device; while it is being sent. Not on the web.
        path: String = "path",
        /// Its name in the service's storage.
        uuid: String = "UUID",
        /// Bytes.
        data_size: i64 = "dataSize",
        /// Seconds.
        duration: i64 = "duration",
        /// Where it can be loaded. Since 5.0.2 native SDKs leave it out until they are asked for it.
        url: String = "url",
        /// The file on this device, once it was loaded. On the web the URL of the upload.
        local_url: String = "localUrl",
        /// The element after it, in a message of several.
        next_elem: Box<V2TimElem> = "nextElem",
    }

    /// A video and the picture that stands for it.
    pub struct V2TimVideoElem {
        /// The file that is to be uploaded, on the sender's device; while it is being sent. A URL on the
        /// web.
        video_path: String = "videoPath",
        /// The video's name in the service's storage. The oldest plugin wrote `videoUUID`.
        uuid: String = "UUID" | "videoUUID",
        /// The video's bytes.
        video_size: i64 = "videoSize",
        /// Seconds.
        duration: i64 = "duration",
        /// The cover picture's file, on the sender's device; while it is being sent. A URL on the web.
        snapshot_path: String = "snapshotPath",
        /// The cover picture's name in the service's storage.
        snapshot_uuid: String = "snapshotUUID",
        /// The cover picture's bytes.
        snapshot_size: i64 = "snapshotSize",
        /// The cover picture's pixels.
        snapshot_width: i64 = "snapshotWidth",
        /// The cover picture's pixels.
        snapshot_height: i64 = "snapshotHeight",
        /// Where the video can be loaded. Since 5.0.2 native SDKs leave it out until they are asked for it.
        video_url: String = "videoUrl",
        /// Where the cover picture can be loaded. Left out as the video's is.
        snapshot_url: String = "snapshotUrl",
        /// The video's file on this device, once it was loaded.
        local_video_url: String = "localVideoUrl",
        /// The cover picture's file on this device, once it was loaded.
        local_snapshot_url: String = "localSnapshotUrl",
        /// The element after it, in a message of several.
        next_elem: Box<V2TimElem> = "nextElem",
    }

    /// A file.
    pub struct V2TimFileElem {
        /// The file that is to be uploaded, on the sender's device. A URL on the web. The oldest plugin
        /// wrote `filePath`.
        path: String = "path" | "filePath",
        /// Its name, as the reader sees it.
        file_name: String = "fileName",
        /// Its name in the service's storage. The oldest plugin wrote `fileUUID`.
        uuid: String = "UUID" | "fileUUID",
        /// Where it can be loaded. Since 5.0.2 native SDKs leave it out until they are asked for it.
        url: String = "url",
        /// Bytes.
        file_size: i64 = "fileSize",
        /// The file on this device, once it was loaded.
        local_url: String = "localUrl",
        /// The element after it, in a message of several.
        next_elem: Box<V2TimElem> = "nextElem",
    }

    /// A face of the app's own set.
    pub struct V2TimFaceElem {
        /// Its number; the app says what it means.
        index: i64 = "index",
        /// Further data of the app's own. Bytes that are no UTF-8 are lost: the bridges decode them as
        /// text.
        data: String = "data",
        /// The element after it, in a message of several.
        next_elem: Box<V2TimElem> = "nextElem",
    }

    /// A place.
    pub struct V2TimLocationElem {
        /// What the place is called.
        desc: String = "desc",
        /// Degrees, east is positive. The Dart model wants it.
        longitude: f64 = "longitude",
        /// Degrees, north is positive. The Dart model wants it.
        latitude: f64 = "latitude",
        /// The element after it, in a message of several.
        next_elem: Box<V2TimElem> = "nextElem",
    }

    /// Several messages bundled.
    pub struct V2TimMergerElem {
        /// Whether bundles are inside bundles deeper than the service goes, 100 levels. iOS writes
        /// `layersOverLimit`.
        is_layers_over_limit: bool = "isLayersOverLimit" | "layersOverLimit",
        /// What the bundle is called.
        title: String = "title",
        /// What its first messages say, a line each: at most 5 of 100 characters. The Dart model fails
        /// where it is null.
        abstract_list: Vec<String> = "abstractList",
        /// The messages themselves. Only one answer of the iOS bridge has them; elsewhere they must be
        /// asked for, so a bundle cannot be made again from its element.
        message_list: Vec<V2TimMessage> = "messageList",
        /// The element after it, in a message of several. The Android bridge always writes the key: `{}` or
        /// null where the chain ends, which is read as `None`.
        next_elem: Box<V2TimElem> = "nextElem",
    }
}
