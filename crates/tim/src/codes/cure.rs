//! What a person can do about a result code.
//!
//! Owns:  the words: of a code where it has a cure of its own, else of its class.
//! Never: knows a program's commands, or which transport met the code.

use super::{Class, may_have_arrived};

/// Says what a person can do about a code: an instruction without its full stop. `class` decides where the
/// code has no cure of its own; an app may have given it another one than the table.
///
/// ```
/// use outbox_tim::codes::{Class, cure};
///
/// assert_eq!(cure(6206, Class::Auth), "get a new UserSig and log in again");
/// assert_eq!(cure(424_242, Class::Unknown), "read what the service said; nobody has listed this code");
/// ```
#[must_use]
pub fn cure(code: i64, class: Class) -> &'static str {
    match of_code(code) {
        Some(cure) => cure,
        // Another class than the table's is the app's, and then the code no longer means that.
        None if may_have_arrived(code) && class == super::class(code) => {
            "nothing: it is repeated as long as the service recognises a repetition"
        }
        None => of_class(class),
    }
}

const fn of_code(code: i64) -> Option<&'static str> {
    Some(match code {
        3004 | 6206 | 6226 | 20_002 | 70_001 | 70_052 | 70_101 | -10_001 | -10_003 | -10_004 | -10_101 => {
            "get a new UserSig and log in again"
        }
        3002 | 3003 | 3006 | 6208 | 6213 | 6255 | 91_101 => {
            "log in again here: another login of the same account ended this one"
        }
        2024 | 3005 | 6014 | 6026 => "log in",
        2999 | 6013 | 7501 | 9503 => "wait until the SDK is ready and logged in",
        70_002 | 70_003 | 70_005 | 70_009 | 70_013 | 70_014 | 70_016 => {
            "sign with this application's own secret key, for this user and this SDKAppID"
        }
        60_006 | 60_016 | 70_020 => "correct the SDKAppID, or use the data centre that it belongs to",
        70_050 => "wait a minute, then log in with a correct UserSig",
        70_051 | 70_114 => "have the account unblocked in the vendor's console",
        10_026 | 60_004 | 60_005 | 60_010 | 70_403 | 90_009 => {
            "use the identifier of an administrator of the application"
        }
        60_020 | 72_000 | 80_005 | -10_108 => "renew the application's plan in the vendor's console",
        60_021 => "allow this machine's address in the vendor's console",
        3123 | 7015 | 8004 | 80_001 | 80_004 | 80_101 => {
            "change the content: content safety will refuse it again"
        }
        8001 | 80_002 | 90_055 | 93_000 => {
            "shorten the message: all of it may have 12 KB (older versions: 8 KB)"
        }
        2253 | 2301 | 2351 | 2402 | 7005 | 114_002 => {
            "send a smaller file: sound and images up to 28 MB, video and files up to 100 MB"
        }
        2108 | 7004 | 7006 | 114_000 | 114_001 => {
            "put the file back where the message says, with its content"
        }
        10_053 => "mention 30 users at most",
        10_016 | 20_006 => "ask the app's own server: its webhook refused the message",
        120_001..=130_000 => "ask the app's own server what this code of its webhook means",
        10_017 | 20_012 => "have the sender unmuted, then resend",
        2101 | 10_007 => "let the sender join the group, then resend",
        10_010 | 10_015 | 2603 | 8501 => "correct the group's id; the group may have been disbanded",
        20_007 | 30_525 => "ask the recipient to unblock the sender, then resend",
        2700 | 20_009 | 20_010 | 20_011 => "let the two become friends, then resend",
        10_019 | 20_003 | 70_107 | 90_012 | 90_048 => "correct the user's id, or import the account first",
        6221 => "sign in to the Wi-Fi's own page",
        -1 | -3 => "send a copy of the message: this SDK no longer has the original, or cannot resend",
        2040 => "register the SDK's upload plugin in the app",
        9506 => "nothing: the daemon keeps to 5 sends a second",
        9507 => "nothing: the daemon sends no more while offline",
        10_023 => "nothing: the daemon waits longer between messages",
        _ => return None,
    })
}

const fn of_class(class: Class) -> &'static str {
    match class {
        Class::Ok => "nothing",
        Class::TransientNetwork => "nothing: it is sent again once the network is back",
        Class::TransientServer => "nothing: it is sent again after a while",
        Class::RateLimited => "nothing: the account slows down by itself",
        Class::Auth => "log in again",
        Class::PermanentContent => "change the content and submit it as a new message, or cancel it",
        Class::PermanentRecipient => "see to it that the recipient takes it, then resend",
        Class::PermanentRequest => {
            "correct what the app asks for and submit it as a new message, or cancel it"
        }
        Class::FileUpload => "keep the local file where it is: the upload is tried again",
        Class::Unknown => "read what the service said; nobody has listed this code",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{all, lookup};
    use super::*;

    #[test]
    fn every_code_has_a_cure_in_words() {
        for row in all() {
            let cure = cure(row.code, row.class);
            assert!(!cure.is_empty() && !cure.ends_with('.'), "{}: {cure}", row.code);
            assert!(cure.starts_with(|first: char| first.is_ascii_lowercase()), "{}: {cure}", row.code);
        }
    }

    #[test]
    fn a_cure_of_its_own_belongs_to_a_code_of_the_table() {
        let strangers = (-20_000..140_000).filter(|code| of_code(*code).is_some() && lookup(*code).is_none());
        assert_eq!(strangers.collect::<Vec<_>>(), Vec::<i64>::new());
    }

    #[test]
    fn whatever_may_have_arrived_is_repeated_whichever_its_class() {
        let codes = all().filter(|row| may_have_arrived(row.code));
        let words: Vec<_> = codes.map(|row| cure(row.code, row.class)).collect();
        assert_eq!(words.len(), 12);
        assert!(words.iter().all(|cure| cure.contains("recognises a repetition")), "{words:?}");
        assert_eq!(cure(60_008, Class::PermanentRequest), of_class(Class::PermanentRequest));
    }

    #[test]
    fn another_class_changes_the_words_only_where_the_code_has_none_of_its_own() {
        assert_eq!(cure(9508, Class::Auth), "log in again");
        assert_eq!(cure(80_001, Class::Unknown), cure(80_001, Class::PermanentContent));
    }
}
