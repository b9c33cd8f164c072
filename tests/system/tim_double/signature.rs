//! How the double checks a UserSig: by means of its own, from the vendor's description alone.
//!
//! Owns:  unpacking, the fields, the HMAC, the codes of refusals.
//! Never: uses the code that it checks.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::Refusal;

/// Who is said to call.
pub(super) struct Claim<'a> {
    pub(super) sdk_app_id: u64,
    pub(super) identifier: &'a str,
}

/// Checks a signature for a caller at a time.
pub(super) fn check(text: &str, claim: &Claim<'_>, key: &str, now_s: u64) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal(70_002, "usersig is empty".into()));
    }
    let broken = |what: &str| Refusal(70_003, format!("usersig: {what}"));
    let fields = unpack(text).ok_or_else(|| broken("cannot be unpacked"))?;
    let word = |name: &str| fields[name].as_str().ok_or_else(|| broken(name));
    let number = |name: &str| fields[name].as_u64().ok_or_else(|| broken(name));
    if word("TLS.ver")? != "2.0" {
        return Err(broken("TLS.ver"));
    }
    let (identifier, sdk_app_id) = (word("TLS.identifier")?, number("TLS.sdkappid")?);
    let (time, expire) = (number("TLS.time")?, number("TLS.expire")?);
    if identifier != claim.identifier {
        return Err(Refusal(70_013, format!("usersig is that of {identifier}")));
    }
    if sdk_app_id != claim.sdk_app_id {
        return Err(Refusal(70_014, format!("usersig is for {sdk_app_id}")));
    }
    let content = format!(
        "TLS.identifier:{identifier}\nTLS.sdkappid:{sdk_app_id}\nTLS.time:{time}\nTLS.expire:{expire}\n"
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(content.as_bytes());
    if STANDARD.encode(mac.finalize().into_bytes()) != word("TLS.sig")? {
        return Err(Refusal(70_009, "usersig was made with another key".into()));
    }
    if now_s >= time.saturating_add(expire) {
        return Err(Refusal(70_001, "usersig expired".into()));
    }
    // A minute's difference between two clocks is nothing.
    if time > now_s + 60 {
        return Err(Refusal(70_003, "usersig is from the future".into()));
    }
    Ok(())
}

/// Signs as a caller does, for the tests of the double itself.
pub(super) fn sign(identifier: &str, sdk_app_id: u64, key: &str, time: u64, expire: u64) -> String {
    use std::io::Write as _;
    let content = format!(
        "TLS.identifier:{identifier}\nTLS.sdkappid:{sdk_app_id}\nTLS.time:{time}\nTLS.expire:{expire}\n"
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(content.as_bytes());
    let fields = serde_json::json!({
        "TLS.ver": "2.0", "TLS.identifier": identifier, "TLS.sdkappid": sdk_app_id, "TLS.time": time,
        "TLS.expire": expire, "TLS.sig": STANDARD.encode(mac.finalize().into_bytes()),
    });
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(fields.to_string().as_bytes()).unwrap();
    STANDARD.encode(packed.finish().unwrap()).replace('+', "*").replace('/', "-").replace('=', "_")
}

fn unpack(text: &str) -> Option<Value> {
    let base64: String = text
        .chars()
        .map(|sign| match sign {
            '*' => '+',
            '-' => '/',
            '_' => '=',
            other => other,
        })
        .collect();
    let mut json = String::new();
    ZlibDecoder::new(STANDARD.decode(base64).ok()?.as_slice()).read_to_string(&mut json).ok()?;
    serde_json::from_str(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the vendor's own generators print for their public example key.
    const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
    const JAVASCRIPT: &str = "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwokpuZl5mcUlRYkl*UVQBcUp2YkFBZkpSlaGJgZQAJEpycxNVbIyNEcVTa0oyCxKVbKyMDOBCRVnpitZKVX6OKZql5uHh6aGlhYmhVlm6IdEmFuUGhnmh7hnamdaRhUYlhoHFORFmhnYKtUCAK0SM5I_";
    const PYTHON: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkKjIT87NK82CSxSnZiQUFmSlAKUMTAyiAyqVWFGQWpYJkTE1NjRDiJZm5YFFzNPXFmekgG3zKHM1T9D3LzdODi-OKs8vCqpxcAvydnV2SSv2cy03cPcpDnA2SMgu0nUxslWoBHdYzUg__";
    const TIME: u64 = 1_700_000_000;

    fn code(text: &str, identifier: &str, sdk_app_id: u64, key: &str, now_s: u64) -> i64 {
        check(text, &Claim { sdk_app_id, identifier }, key, now_s).err().map_or(0, |refusal| refusal.0)
    }

    #[test]
    fn the_vendors_own_signatures_are_good_and_every_difference_has_its_code() {
        let app = 1_400_000_000;
        assert_eq!(code(JAVASCRIPT, "administrator", app, KEY, TIME), 0);
        assert_eq!(code(PYTHON, "xiaojun", app, KEY, TIME + 15_551_999), 0);
        assert_eq!(code(JAVASCRIPT, "administrator", app, KEY, TIME + 86_399), 0);
        assert_eq!(code(JAVASCRIPT, "administrator", app, KEY, TIME + 86_400), 70_001);
        assert_eq!(code("", "administrator", app, KEY, TIME), 70_002);
        assert_eq!(code(&JAVASCRIPT[..100], "administrator", app, KEY, TIME), 70_003);
        assert_eq!(code(JAVASCRIPT, "administrator", app, "other", TIME), 70_009);
        assert_eq!(code(JAVASCRIPT, "xiaojun", app, KEY, TIME), 70_013);
        assert_eq!(code(JAVASCRIPT, "administrator", app + 1, KEY, TIME), 70_014);
        assert_eq!(code(JAVASCRIPT, "administrator", app, KEY, TIME - 3_600), 70_003);
    }
}
