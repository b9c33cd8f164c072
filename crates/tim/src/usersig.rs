//! UserSig: the signature by which Tencent IM knows who calls.
//!
//! Owns:  its content, its fields and its text form, as the vendor's generators of version 2 make them.
//! Never: reads a clock or a file, keeps a key.
//!
//! The text form is JSON, deflated with a zlib header, in base64 with `*`, `-` and `_` for `+`, `/` and `=`. Two
//! generators may print one signature differently (order of fields, spaces, deflate); the fields count.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;

/// What a signature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params<'a> {
    /// Number of the application.
    pub sdk_app_id: u64,
    /// Whose signature it is.
    pub identifier: &'a str,
    /// When it was made, in seconds since 1970.
    pub time_s: u64,
    /// How long it is valid from then on, in seconds. The vendor's default is 180 days, its advice at least
    /// one day.
    pub expire_s: u64,
    /// Data of the app's own, signed as well: privileges in rooms of audio and video.
    pub userbuf: Option<&'a [u8]>,
}

/// Why nothing could be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// There is no key.
    #[error("the secret key is empty")]
    NoKey,
    /// The signature could not be written.
    #[error("the signature could not be made: {0}")]
    Format(#[from] std::io::Error),
}

/// The fields, in the order in which the vendor's generator for JavaScript writes them.
#[derive(Serialize)]
struct Fields<'a> {
    #[serde(rename = "TLS.ver")]
    version: &'static str,
    #[serde(rename = "TLS.identifier")]
    identifier: &'a str,
    #[serde(rename = "TLS.sdkappid")]
    sdk_app_id: u64,
    #[serde(rename = "TLS.time")]
    time: u64,
    #[serde(rename = "TLS.expire")]
    expire: u64,
    #[serde(rename = "TLS.userbuf", skip_serializing_if = "Option::is_none")]
    userbuf: Option<String>,
    #[serde(rename = "TLS.sig")]
    signature: String,
}

/// Signs. The key is the application's secret key, as the text that the console shows.
///
/// # Errors
/// [`SignError::NoKey`] for an empty key.
pub fn sign(params: &Params<'_>, key: &[u8]) -> Result<String, SignError> {
    let userbuf = params.userbuf.map(|userbuf| STANDARD.encode(userbuf));
    let fields = Fields {
        version: "2.0",
        identifier: params.identifier,
        sdk_app_id: params.sdk_app_id,
        time: params.time_s,
        expire: params.expire_s,
        signature: signature(params, userbuf.as_deref(), key)?,
        userbuf,
    };
    let json = serde_json::to_vec(&fields).map_err(std::io::Error::from)?;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&json)?;
    Ok(in_urls(&STANDARD.encode(packed.finish()?)))
}

fn signature(params: &Params<'_>, userbuf: Option<&str>, key: &[u8]) -> Result<String, SignError> {
    if key.is_empty() {
        return Err(SignError::NoKey);
    }
    let mut content = format!(
        "TLS.identifier:{}\nTLS.sdkappid:{}\nTLS.time:{}\nTLS.expire:{}\n",
        params.identifier, params.sdk_app_id, params.time_s, params.expire_s
    );
    if let Some(userbuf) = userbuf {
        content.push_str("TLS.userbuf:");
        content.push_str(userbuf);
        content.push('\n');
    }
    // A key of any other length is good for HMAC.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| SignError::NoKey)?;
    mac.update(content.as_bytes());
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

/// Base64 with the three signs that mean something in a query replaced.
fn in_urls(base64: &str) -> String {
    base64
        .chars()
        .map(|sign| match sign {
            '+' => '*',
            '/' => '-',
            '=' => '_',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests;
