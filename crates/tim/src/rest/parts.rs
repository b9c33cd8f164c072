//! The elements of a REST message body.
//!
//! Owns:  names, types and numbers of `MsgBody`.
//! Never: knows either shape of a V2TimMessage.

use serde::Serialize;

/// How media is fetched: by URL.
const BY_URL: u8 = 2;
/// A picture of a format that has no number of its own.
const FORMAT_UNKNOWN: i64 = 255;

/// One element.
#[derive(Debug, Serialize)]
#[serde(tag = "MsgType", content = "MsgContent")]
pub(super) enum Part {
    #[serde(rename = "TIMTextElem")]
    Text {
        #[serde(rename = "Text")]
        text: String,
    },
    #[serde(rename = "TIMCustomElem")]
    Custom(Custom),
    #[serde(rename = "TIMLocationElem")]
    Location(Location),
    #[serde(rename = "TIMFaceElem")]
    Face {
        #[serde(rename = "Index")]
        index: i64,
        #[serde(rename = "Data")]
        data: String,
    },
    #[serde(rename = "TIMImageElem")]
    Image(Image),
    #[serde(rename = "TIMSoundElem")]
    Sound(Sound),
    #[serde(rename = "TIMFileElem")]
    File(File),
    #[serde(rename = "TIMVideoFileElem")]
    Video(Box<Video>),
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Custom {
    pub(super) data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) desc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sound: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Location {
    pub(super) desc: String,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    #[serde(rename = "UUID")]
    pub(super) uuid: String,
    pub(super) image_format: i64,
    pub(super) image_info_array: Vec<Picture>,
}

/// One size of a picture.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Picture {
    /// 1 original, 2 large, 3 thumbnail: other numbers than in either SDK.
    #[serde(rename = "Type")]
    pub(super) kind: i64,
    /// In bytes.
    pub(super) size: i64,
    pub(super) width: i64,
    pub(super) height: i64,
    #[serde(rename = "URL")]
    pub(super) url: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sound {
    pub(super) url: String,
    #[serde(rename = "UUID")]
    pub(super) uuid: String,
    pub(super) size: i64,
    pub(super) second: i64,
    #[serde(rename = "Download_Flag")]
    pub(super) download_flag: u8,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct File {
    pub(super) url: String,
    #[serde(rename = "UUID")]
    pub(super) uuid: String,
    pub(super) file_size: i64,
    pub(super) file_name: String,
    #[serde(rename = "Download_Flag")]
    pub(super) download_flag: u8,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Video {
    pub(super) video_url: String,
    #[serde(rename = "VideoUUID")]
    pub(super) video_uuid: String,
    pub(super) video_size: i64,
    pub(super) video_second: i64,
    pub(super) video_format: String,
    pub(super) video_download_flag: u8,
    pub(super) thumb_url: String,
    #[serde(rename = "ThumbUUID")]
    pub(super) thumb_uuid: String,
    pub(super) thumb_size: i64,
    pub(super) thumb_width: i64,
    pub(super) thumb_height: i64,
    pub(super) thumb_format: String,
    pub(super) thumb_download_flag: u8,
}

/// A file that has a URL.
#[derive(Debug)]
pub(super) struct Media {
    pub(super) url: String,
    pub(super) uuid: String,
    /// In bytes; 0 where the message does not tell.
    pub(super) size: i64,
}

impl Media {
    /// `None` without a URL that others can fetch. Where the message has no UUID, one is derived from the URL:
    /// the service wants one that is unique, and each attempt must say the same.
    pub(super) fn new(url: Option<&str>, uuid: Option<&str>, size: i64) -> Option<Self> {
        let url = url.filter(|url| is_fetched_over_http(url))?;
        let uuid = uuid.filter(|uuid| !uuid.is_empty()).map_or_else(|| uuid_of(url), ToOwned::to_owned);
        Some(Self { url: url.to_owned(), uuid, size })
    }
}

/// Schemes may be spelt in capitals.
fn is_fetched_over_http(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| ["https", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known)))
}

fn uuid_of(url: &str) -> String {
    blake3::hash(url.as_bytes()).to_hex().chars().take(32).collect()
}

pub(super) fn sound(media: Media, seconds: i64) -> Part {
    Part::Sound(Sound {
        url: media.url,
        uuid: media.uuid,
        size: media.size,
        second: seconds,
        download_flag: BY_URL,
    })
}

pub(super) fn file(media: Media, name: Option<&str>) -> Part {
    let last = media.url.rsplit('/').next().and_then(|end| end.split(['?', '#']).next()).unwrap_or_default();
    let file_name = name.filter(|name| !name.is_empty()).unwrap_or(last).to_owned();
    Part::File(File {
        file_size: media.size,
        file_name,
        uuid: media.uuid,
        url: media.url,
        download_flag: BY_URL,
    })
}

/// A video and the picture that stands for it.
pub(super) struct Clip {
    pub(super) video: Media,
    pub(super) seconds: i64,
    /// Its format, where the message tells.
    pub(super) format: Option<String>,
    pub(super) thumb: Media,
    pub(super) thumb_width: i64,
    pub(super) thumb_height: i64,
    /// Its format, where the message tells.
    pub(super) thumb_format: Option<String>,
}

pub(super) fn video(clip: Clip) -> Part {
    let format = |told: Option<String>, url: &str, usual: &str| {
        let told = told.as_deref().and_then(format_name);
        told.or_else(|| ending(url).map(str::to_ascii_lowercase)).unwrap_or_else(|| usual.to_owned())
    };
    Part::Video(Box::new(Video {
        video_format: format(clip.format, &clip.video.url, "mp4"),
        thumb_format: format(clip.thumb_format, &clip.thumb.url, "jpg"),
        video_url: clip.video.url,
        video_uuid: clip.video.uuid,
        video_size: clip.video.size,
        video_second: clip.seconds,
        video_download_flag: BY_URL,
        thumb_url: clip.thumb.url,
        thumb_uuid: clip.thumb.uuid,
        thumb_size: clip.thumb.size,
        thumb_width: clip.thumb_width,
        thumb_height: clip.thumb_height,
        thumb_download_flag: BY_URL,
    }))
}

/// A format as REST calls it: some apps tell a media type, such as `video/mp4`.
fn format_name(told: &str) -> Option<String> {
    let essence = told.split(';').next()?.trim();
    let name = essence.rsplit(['/', '.']).next()?.to_ascii_lowercase();
    let name = match name.as_str() {
        "quicktime" => "mov",
        "x-matroska" => "mkv",
        "x-msvideo" => "avi",
        "3gpp" => "3gp",
        name => name,
    };
    let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then(|| name.to_owned())
}

/// The number of a picture's format, by the ending of a path or URL.
pub(super) fn image_format(name: &str) -> i64 {
    match ending(name).map(str::to_ascii_lowercase).as_deref() {
        Some("jpg" | "jpeg") => 1,
        Some("gif") => 2,
        Some("png") => 3,
        Some("bmp") => 4,
        _ => FORMAT_UNKNOWN,
    }
}

/// The ending of a file's name in a path or URL: letters and digits behind its last dot.
fn ending(name: &str) -> Option<&str> {
    let path = name.split(['?', '#']).next()?;
    let last = path.rsplit(['/', '\\']).next()?;
    let (_, ending) = last.rsplit_once('.')?;
    let is_plain = !ending.is_empty() && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then_some(ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_follows_from_the_ending_of_a_name() {
        for (name, format) in [
            ("/a/b.JPG", 1),
            ("https://h/x.jpeg?w=1.5", 1),
            ("C:\\a.b\\c.png", 3),
            ("x.bmp", 4),
            ("x.gif#a.png", 2),
            ("x.heic", FORMAT_UNKNOWN),
            ("https://h.example/abc", FORMAT_UNKNOWN),
            ("", FORMAT_UNKNOWN),
        ] {
            assert_eq!(image_format(name), format, "{name}");
        }
    }

    #[test]
    fn a_media_type_is_called_as_the_ending_of_its_files() {
        for (told, format) in [
            ("mp4", Some("mp4")),
            ("MOV", Some("mov")),
            ("video/mp4", Some("mp4")),
            ("video/mp4; codecs=\"avc1.42E01E, mp4a.40.2\"", Some("mp4")),
            ("video/quicktime", Some("mov")),
            ("image/jpeg", Some("jpeg")),
            (".png", Some("png")),
            ("", None),
            ("video/", None),
            ("application/x-unknown", None),
        ] {
            assert_eq!(format_name(told).as_deref(), format, "{told}");
        }
    }

    #[test]
    fn media_needs_a_url_that_others_can_fetch_and_gets_one_uuid_for_it() {
        for url in [
            None,
            Some(""),
            Some("/sdcard/a.jpg"),
            Some("file:///a.jpg"),
            Some("https:/a"),
            Some("xhttp://a"),
            Some("h\u{e9}://"),
        ] {
            assert!(Media::new(url, Some("u"), 0).is_none(), "{url:?}");
        }
        for url in ["HTTPS://h/a", "Http://h/a"] {
            assert_eq!(Media::new(Some(url), None, 0).unwrap().url, url);
        }
        let derived = |url| Media::new(Some(url), None, 0).unwrap().uuid;
        assert_eq!(derived("https://h/a"), derived("https://h/a"));
        assert_ne!(derived("https://h/a"), derived("https://h/b"));
        assert_eq!(derived("https://h/a").len(), 32);
        assert_eq!(Media::new(Some("http://h/a"), Some("u"), 5).unwrap().uuid, "u");
    }

    #[test]
    fn a_file_without_a_name_is_called_as_its_url_ends() {
        let media = || Media::new(Some("https://h/a/week46.xlsx?sig=1"), None, 0).unwrap();
        let name = |part| if let Part::File(file) = part { file.file_name } else { String::new() };
        assert_eq!(name(file(media(), None)), "week46.xlsx");
        assert_eq!(name(file(media(), Some("report.xlsx"))), "report.xlsx");
    }
}
