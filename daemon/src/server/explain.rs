//! Result codes in words: name, meaning, and what a person can do.
//!
//! Owns:  the words for the outbox's own codes and for an HTTP status, and the commands that a cure ends with.
//! Never: decides anything by a code.

use http::StatusCode;
use outbox::{
    CODE_CANCELLED, CODE_CANNOT_CARRY, CODE_CRASH_LOOP, CODE_EXPIRED, CODE_MAYBE_REACHED, CODE_NOT_REACHED,
    CODE_PAYLOAD_UNREADABLE, Class,
};
use outbox_tim::codes;

use crate::config::TransportKind;

/// A code in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// Its name; `None` for a code in no table.
    pub(super) name: Option<String>,
    /// What it means.
    pub(super) meaning: Option<String>,
    /// What a person can do, as a sentence without its full stop.
    pub(super) cure: String,
}

/// Whose trouble it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose<'a> {
    /// The account that sent, or would send.
    pub(super) account: &'a str,
    /// What it sends through.
    pub(super) transport: TransportKind,
}

/// Puts a code into words.
pub(super) fn explain(code: i64, class: Class, whose: Whose<'_>) -> Words {
    let (name, meaning) = match (own(code, class), codes::lookup(code), status(code)) {
        (Some((name, meaning, _)), ..) => (Some(name.to_owned()), Some(meaning.to_owned())),
        (None, Some(row), _) => (Some(row.name.to_owned()), Some(row.meaning.to_owned())),
        (None, None, Some(name)) => {
            (Some(name), Some("the service answered with this status and no result code".to_owned()))
        }
        (None, None, None) => (None, None),
    };
    Words { name, meaning, cure: cure(code, class, whose) }
}

fn cure(code: i64, class: Class, whose: Whose<'_>) -> String {
    if class == Class::Auth {
        return format!(
            "{}, then `outboxctl account resume {}`",
            login_cure(code, whose.transport),
            whose.account
        );
    }
    let of_service = class.as_str().parse().unwrap_or(codes::Class::Unknown);
    own(code, class).map_or_else(|| codes::cure(code, of_service), |(.., cure)| cure).to_owned()
}

/// The daemon itself signs for the REST interface: nobody can log in there.
fn login_cure(code: i64, transport: TransportKind) -> &'static str {
    match (transport, code) {
        (TransportKind::Tim, CODE_NOT_REACHED) => "correct the account's section [transport.tim]",
        (TransportKind::Tim, 300..=499) => "correct transport.tim.host: what answers there is something else",
        (TransportKind::Tim, 70_050) => "correct the key in secret_key_file, and wait a minute",
        (
            TransportKind::Tim,
            60_000..=60_999 | 70_020 | 70_051 | 70_114 | 70_403 | 72_000 | 80_005 | 90_009,
        ) => codes::cure(code, codes::Class::Auth),
        (TransportKind::Tim, 10_026 | -10_108) => codes::cure(code, codes::Class::Auth),
        (TransportKind::Tim, _) => {
            "correct sdk_app_id, identifier and the key in secret_key_file, and see that the clock is right"
        }
        (TransportKind::Http, 401) => "correct the credentials in transport.http.headers",
        (_, CODE_NOT_REACHED) => "log in again",
        _ => codes::cure(code, codes::Class::Auth),
    }
}

/// The outbox's own codes: name, meaning, cure.
const fn own(code: i64, class: Class) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match (code, class) {
        (_, Class::Uncertain) if code == CODE_MAYBE_REACHED || code >= 0 => (
            "OUTBOX_UNCERTAIN",
            "an attempt may have reached the service, and what became of it is not known",
            "look whether it arrived; if not, resend it (`outboxctl resend`), else cancel it",
        ),
        (0 | 200..=299, Class::Unknown) => (
            "OUTBOX_NO_PROOF",
            "the service answered without an error and without a proof that it took the message",
            "look at what the service answers; meanwhile delivery.on_uncertain decides",
        ),
        (CODE_NOT_REACHED, Class::Auth) => (
            "OUTBOX_ACCOUNT_NOT_READY",
            "the daemon cannot send for this account as it is set up",
            "correct the account's set-up",
        ),
        (CODE_PAYLOAD_UNREADABLE, _) => (
            "OUTBOX_PAYLOAD_UNREADABLE",
            "the file of its payload cannot be read now, and nothing was sent",
            "look at the disk, and at owner and mode of the files in payloads/; it is tried again by itself",
        ),
        (CODE_NOT_REACHED, _) => (
            "OUTBOX_NOT_REACHED",
            "nobody could be reached, and nothing was sent",
            "nothing: it is sent again once the link is up",
        ),
        (CODE_MAYBE_REACHED, _) => (
            "OUTBOX_MAYBE_REACHED",
            "the answer was lost: the message may have arrived",
            "nothing: it is repeated as long as the service recognises the repetition, then \
             delivery.on_uncertain decides",
        ),
        (CODE_EXPIRED, _) => (
            "OUTBOX_EXPIRED",
            "it was not sent within its time to live",
            "resend it, if it is still worth sending",
        ),
        (CODE_CANCELLED, _) => ("OUTBOX_CANCELLED", "it was cancelled", "nothing"),
        (CODE_CRASH_LOOP, _) => (
            "OUTBOX_CRASH_LOOP",
            "the daemon died three times in a row while it attempted this message",
            "look at the message (`outboxctl payload`) and at the log, then resend or cancel it",
        ),
        (CODE_CANNOT_CARRY, _) => (
            "OUTBOX_CANNOT_CARRY",
            "this transport has no way to carry the message",
            "do what the answer says, or cancel it",
        ),
        _ => return None,
    })
}

/// The name of an HTTP status that stands where no service gave a code.
fn status(code: i64) -> Option<String> {
    let status = StatusCode::from_u16(u16::try_from(code).ok()?).ok().filter(|_| code < 600)?;
    Some(format!("HTTP {}", status.canonical_reason().unwrap_or("status")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: i64, class: Class, transport: TransportKind) -> Words {
        explain(code, class, Whose { account: "desk", transport })
    }

    #[test]
    fn an_expired_session_is_cured_by_a_login_and_a_command() {
        let app = words(6206, Class::Auth, TransportKind::App);
        assert_eq!(app.name.as_deref(), Some("ERR_USER_SIG_EXPIRED"));
        assert!(app.meaning.unwrap().starts_with("UserSig expired"));
        assert_eq!(app.cure, "get a new UserSig and log in again, then `outboxctl account resume desk`");
        for code in [6014, 6206, 6208, 70_001, 70_101, -10_004, 424_242] {
            let tim = words(code, Class::Auth, TransportKind::Tim).cure;
            assert!(tim.contains("secret_key_file") && tim.ends_with("resume desk`"), "{code}: {tim}");
        }
        for code in [302, 404, 60_020, 70_051] {
            let tim = words(code, Class::Auth, TransportKind::Tim).cure;
            assert!(!tim.contains("secret_key_file") && !tim.contains("log in"), "{code}: {tim}");
        }
        let http = words(401, Class::Auth, TransportKind::Http);
        assert_eq!(http.name.as_deref(), Some("HTTP Unauthorized"));
        assert!(http.cure.starts_with("correct the credentials"), "{}", http.cure);
    }

    #[test]
    fn every_code_of_the_outbox_has_words_and_a_stranger_has_a_cure_alone() {
        for code in CODE_PAYLOAD_UNREADABLE..=CODE_NOT_REACHED {
            let words = words(code, Class::Unknown, TransportKind::Http);
            assert!(words.name.is_some_and(|name| name.starts_with("OUTBOX_")) && words.meaning.is_some());
        }
        let stranger = words(424_242, Class::PermanentContent, TransportKind::Http);
        assert_eq!((stranger.name, stranger.meaning), (None, None));
        assert!(stranger.cure.starts_with("change the content"), "{}", stranger.cure);
        assert_eq!(
            words(503, Class::TransientServer, TransportKind::Http).name.unwrap(),
            "HTTP Service Unavailable"
        );
        for code in [CODE_MAYBE_REACHED, 0, 200] {
            let uncertain = words(code, Class::Uncertain, TransportKind::Http);
            assert_eq!(uncertain.name.as_deref(), Some("OUTBOX_UNCERTAIN"));
            assert!(uncertain.cure.starts_with("look whether it arrived"), "{code}: {}", uncertain.cure);
        }
        let account = words(CODE_NOT_REACHED, Class::Auth, TransportKind::Tim);
        assert!(account.cure.starts_with("correct the account's section"), "{}", account.cure);
    }
}
