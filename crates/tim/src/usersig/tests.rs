//! Tests of the signature against what the vendor's generators print.
//!
//! Owns:  the vectors: two generators, three sets of parameters.
//! Never: compares whole texts, which differ between generators.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use serde_json::{Value, json};

use super::*;

/// The key that the generators' own examples use.
const KEY: &[u8] = b"5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

/// The fields of a signature in its text form.
fn fields_of(text: &str) -> Value {
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
    ZlibDecoder::new(STANDARD.decode(base64).unwrap().as_slice()).read_to_string(&mut json).unwrap();
    serde_json::from_str(&json).unwrap()
}

fn params(identifier: &str, expire_s: u64) -> Params<'_> {
    Params { sdk_app_id: 1_400_000_000, identifier, time_s: 1_700_000_000, expire_s, userbuf: None }
}

fn expected(identifier: &str, expire_s: u64, signature: &str) -> Value {
    json!({
        "TLS.ver": "2.0", "TLS.identifier": identifier, "TLS.sdkappid": 1_400_000_000,
        "TLS.time": 1_700_000_000, "TLS.expire": expire_s, "TLS.sig": signature,
    })
}

#[test]
fn the_fields_and_the_signature_are_those_of_the_vendors_generators() {
    let signed = fields_of(&sign(&params("xiaojun", 15_552_000), KEY).unwrap());
    assert_eq!(signed, expected("xiaojun", 15_552_000, "LvA7d/Iw7gSsnskvVzBDPOCCDbuNCw4GHwTC0bip+B4="));
    let javascript = "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwhWZiflZpXlQqeKU7MSCgswUJStDEwMogMiUZOamKlkZmqOKplYUZBaBxE1NTY3gosWZ6UpWSj5ljuYp*p7l5unBxXnF2WVhVU4uAf7Ozi5JpX7O5SbuHuUhzgZJmQXaTia2SrUAohcx8g__";
    let python = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkKjIT87NK82CSxSnZiQUFmSlAKUMTAyiAyqVWFGQWpYJkTE1NjRDiJZm5YFFzNPXFmekgG3zKHM1T9D3LzdODi-OKs8vCqpxcAvydnV2SSv2cy03cPcpDnA2SMgu0nUxslWoBHdYzUg__";
    assert_eq!(fields_of(javascript), signed);
    assert_eq!(fields_of(python), signed);

    let signed = fields_of(&sign(&params("administrator", 86_400), KEY).unwrap());
    assert_eq!(signed, expected("administrator", 86_400, "yLAe+w7WUeUuqbV9h/TX78u21oTGi+i9Zp1u3PpnY60="));
    let javascript = "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwokpuZl5mcUlRYkl*UVQBcUp2YkFBZkpSlaGJgZQAJEpycxNVbIyNEcVTa0oyCxKVbKyMDOBCRVnpitZKVX6OKZql5uHh6aGlhYmhVlm6IdEmFuUGhnmh7hnamdaRhUYlhoHFORFmhnYKtUCAK0SM5I_";
    assert_eq!(fields_of(javascript), signed);
}

#[test]
fn the_apps_own_data_is_signed_as_well() {
    let params = Params { userbuf: Some(b"hello"), ..params("xiaojun", 86_400) };
    let signed = fields_of(&sign(&params, KEY).unwrap());
    let mut expected = expected("xiaojun", 86_400, "jAn2d6kBlORa9r2ZqHeekGQdMfFqzLrbPMEynmT3zXY=");
    expected["TLS.userbuf"] = "aGVsbG8=".into();
    assert_eq!(signed, expected);
}

#[test]
fn the_text_form_needs_no_escapes_in_a_query() {
    for number in 0..64 {
        let identifier = format!("user{number}");
        let text = sign(&params(&identifier, 86_400), KEY).unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*-_".contains(&byte)), "{text}");
        assert_eq!(fields_of(&text)["TLS.identifier"], identifier);
    }
}

#[test]
fn without_a_key_nothing_is_signed() {
    assert!(matches!(sign(&params("xiaojun", 86_400), b""), Err(SignError::NoKey)));
}
