//! The messages: ids, conversations, payloads, and their forms for the crate and for the socket.
//!
//! Owns:  what every contender is given, so that all carry the same bytes.
//! Never: reads a clock, draws random numbers: a measurement repeats itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// Messages of one user of Tencent IM, with rising numbers.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    next: AtomicU64,
}

/// Messages that share one second of an id: an app that sends a few a second.
const PER_SECOND: u64 = 4;

/// The user and the first second in the ids.
const USER: &str = "144115225971632901";
const FIRST_SECOND: u64 = 1_731_500_001;

impl Messages {
    /// The next number. No two calls give the same, on whatever thread.
    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// The msgID of a message, as Tencent's SDK makes them: user, second, a random number.
pub(crate) fn msg_id(number: u64) -> String {
    format!("{USER}-{}-{}", FIRST_SECOND + number / PER_SECOND, scattered(number as u32))
}

/// A number that looks random; different numbers give different ones.
fn scattered(number: u32) -> u32 {
    // Each step can be undone, so no two numbers meet.
    let mut mixed = number ^ 0x5bd1_e995;
    mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x7feb_352d);
    mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x846c_a68b);
    mixed ^ (mixed >> 16)
}

/// The peer of a message: conversations take turns.
pub(crate) fn peer(number: u64, conversations: u64) -> String {
    format!("user{:06}", number % conversations.max(1))
}

/// A text message of so many bytes (not below about 60): a JSON object without the ids, which all share.
pub(crate) fn payload(bytes: usize) -> Vec<u8> {
    let (head, tail) = (r#"{"elemType":1,"textElem":{"text":""#, r#""}}"#);
    let room = bytes.saturating_sub(head.len() + tail.len()).max(1);
    // Text that no compression makes much smaller, and that needs no escapes.
    let text: String = (0..room).map(|at| letter(scattered(at as u32))).collect();
    format!("{head}{text}{tail}").into_bytes()
}

fn letter(random: u32) -> char {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
    LETTERS.get(random as usize % LETTERS.len()).map_or(' ', |byte| char::from(*byte))
}

/// A message for the crate.
pub(crate) fn submit(number: u64, conversations: u64, payload: &[u8]) -> outbox::Submit {
    outbox::Submit {
        msg_id: msg_id(number),
        account: "default".to_owned(),
        conversation: format!("c2c:{}", peer(number, conversations)),
        message: payload.to_vec(),
        ..outbox::Submit::default()
    }
}

/// A submit object for the socket, on one line without its line break.
pub(crate) fn submit_json(number: u64, conversations: u64, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        r#"{{"msgID":"{}","conversation":"c2c:{}","message":"#,
        msg_id(number),
        peer(number, conversations)
    );
    [head.as_bytes(), payload, b"}"].concat()
}

/// Lines of submit objects for messages from `first` on.
pub(crate) fn submit_lines(first: u64, count: u64, conversations: u64, payload: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(count as usize * (payload.len() + 120));
    for number in first..first + count {
        lines.extend_from_slice(&submit_json(number, conversations, payload));
        lines.push(b'\n');
    }
    lines
}

/// The body with which the daemon posts a message to a service.
pub(crate) fn request_body(number: u64, conversations: u64, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        r#"{{"msgID":"{}","account":"default","conversation":"c2c:{}","onlineUserOnly":false,"webMessageInstatnce":null,"attempt":1,"message":"#,
        msg_id(number),
        peer(number, conversations)
    );
    [head.as_bytes(), payload, b"}"].concat()
}

/// Bytes of a record that a message's state takes, about what the store's entries have.
pub(crate) const RECORD_BYTES: usize = 350;

/// A record of that size.
pub(crate) fn record(number: u64) -> Vec<u8> {
    (0..RECORD_BYTES as u32).map(|at| scattered(at.wrapping_add(number as u32)) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_look_like_tencents_and_are_all_different() {
        assert!(msg_id(0).starts_with("144115225971632901-1731500001-"));
        let ids: HashSet<String> = (0..100_000).map(msg_id).collect();
        assert_eq!(ids.len(), 100_000);
    }

    #[test]
    fn a_payload_is_an_object_of_the_size_asked_for() {
        for bytes in [100, 1024, 16_384] {
            let payload = payload(bytes);
            assert_eq!(payload.len(), bytes);
            assert!(serde_json::from_slice::<serde_json::Value>(&payload).unwrap().is_object());
        }
    }

    #[test]
    fn a_submit_object_is_one_line_of_json() {
        let lines = submit_lines(3, 2, 2, &payload(100));
        let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        let object: serde_json::Value = serde_json::from_slice(lines[1]).unwrap();
        assert_eq!(object["msgID"], msg_id(4));
        assert_eq!(object["conversation"], "c2c:user000000");
    }
}
