//! Result codes of Tencent IM: what each one is called, what it means, and what it says about a retry.
//!
//! Owns:  the table of codes (one file per family below `codes/`), their classes and cures, the codes after
//!        which a message may have arrived, and the waits that the vendor documents.
//! Never: maps a class to an outcome (the daemon does, with its configured exceptions), reads a clock.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

mod access;
mod cure;
#[cfg(test)]
mod page;
mod sdk;
mod service;
mod web;

pub use cure::cure;

/// What a result code means for the future of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// No error. Alone it proves nothing: see [`crate::callback::Proof`].
    Ok,
    /// The network failed: wait for connectivity.
    TransientNetwork,
    /// The service failed for now: back off.
    TransientServer,
    /// Too fast: the account slows, and no message is to blame.
    RateLimited,
    /// Login or account trouble: the whole account waits for a person or the app.
    Auth,
    /// This content will never be accepted.
    PermanentContent,
    /// This recipient does not take it, unless somebody unblocks, unmutes or joins.
    PermanentRecipient,
    /// The request itself is wrong.
    PermanentRequest,
    /// An upload failed: worth a retry on a slower schedule, as long as the local file is there.
    FileUpload,
    /// The code says nothing about a retry, or is in no table.
    Unknown,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultCode {
    /// The number; for the range [`WEBHOOK_CODES`] its first.
    pub code: i64,
    /// The vendor's constant, or a name in its manner where the vendor has none. Unique.
    pub name: &'static str,
    /// What it means, in a few words. "V3" marks codes of the SDK generation before V2TIM, which newer
    /// headers still reserve.
    pub meaning: &'static str,
    /// What it means for a retry.
    pub class: Class,
}

/// Codes that an app's own before-send webhook may choose for one-to-one messages. They share one row.
pub const WEBHOOK_CODES: RangeInclusive<i64> = 120_001..=130_000;

/// The families in rising order; no two overlap, so the first whose last code is not below a code is the only
/// one that can hold it.
static FAMILIES: [&[ResultCode]; 4] = [access::ROWS, web::ROWS, sdk::ROWS, service::ROWS];

/// Codes that can follow a message which the service took: the request was written, in whole or in part, and
/// only the answer is missing. Sorted.
const MAY_HAVE_ARRIVED: [i64; 12] =
    [2801, 6012, 6122, 6125, 6126, 6201, 6251, 9520, 9521, 9524, 9525, 60_008];

const fn row(code: i64, class: Class, name: &'static str, meaning: &'static str) -> ResultCode {
    ResultCode { code, name, meaning, class }
}

/// Finds the row of a code. Every code of [`WEBHOOK_CODES`] finds the same one.
#[must_use]
pub fn lookup(code: i64) -> Option<&'static ResultCode> {
    let code = if WEBHOOK_CODES.contains(&code) { *WEBHOOK_CODES.start() } else { code };
    let family = FAMILIES.iter().find(|rows| rows.last().is_some_and(|last| code <= last.code))?;
    let index = family.binary_search_by_key(&code, |row| row.code).ok()?;
    family.get(index)
}

/// Tells what a code means for a retry; [`Class::Unknown`] for one that is in no table.
#[must_use]
pub fn class(code: i64) -> Class {
    lookup(code).map_or(Class::Unknown, |row| row.class)
}

/// Tells whether the service may have taken the message although the send failed with this code.
///
/// A REST call that timed out has no code; its transport has to know by itself.
#[must_use]
pub fn may_have_arrived(code: i64) -> bool {
    MAY_HAVE_ARRIVED.binary_search(&code).is_ok()
}

/// Gives the wait that the vendor documents for a code: a floor for the next attempt.
///
/// From 200 ms to a day (a daily quota); the caller clamps it to what it is ready to wait.
#[must_use]
pub const fn documented_wait(code: i64) -> Option<Duration> {
    let wait_ms = match code {
        // Five requests a second.
        9506 => 200,
        // One call a second.
        8513 | 8514 | 90_024 => 1_000,
        // One call a minute; a minute's pause after too many failed checks of a UserSig.
        8512 | 70_050 => 60_000,
        // A plan that was just bought becomes active within five minutes.
        60_020 => 5 * 60_000,
        // A quota of one day.
        90_047 => 24 * 60 * 60_000,
        _ => return None,
    };
    Some(Duration::from_millis(wait_ms))
}

/// Lists every row, in rising order of code.
pub fn all() -> impl Iterator<Item = &'static ResultCode> {
    FAMILIES.iter().flat_map(|rows| rows.iter())
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::TransientNetwork,
        Self::TransientServer,
        Self::RateLimited,
        Self::Auth,
        Self::PermanentContent,
        Self::PermanentRecipient,
        Self::PermanentRequest,
        Self::FileUpload,
        Self::Unknown,
    ];

    /// The name in configuration, API and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TransientNetwork => "transient_network",
            Self::TransientServer => "transient_server",
            Self::RateLimited => "rate_limited",
            Self::Auth => "auth",
            Self::PermanentContent => "permanent_content",
            Self::PermanentRecipient => "permanent_recipient",
            Self::PermanentRequest => "permanent_request",
            Self::FileUpload => "file_upload",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no class of result codes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a class of result codes")]
pub struct UnknownClass(pub String);

impl UnknownClass {
    /// Says what to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("use one of: {}", Class::ALL.map(Class::as_str).join(", "))
    }
}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| UnknownClass(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_rise_strictly_over_all_families() {
        let codes: Vec<i64> = all().map(|row| row.code).collect();
        assert_eq!(codes.len(), 513);
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "not sorted, or a code twice");
    }

    #[test]
    fn every_row_is_found_by_its_code_and_has_its_own_name_and_a_meaning() {
        let mut names = HashSet::new();
        for row in all() {
            assert_eq!(lookup(row.code), Some(row));
            assert!(names.insert(row.name), "{} twice", row.name);
            assert!(!row.meaning.is_empty(), "{} has no meaning", row.code);
        }
    }

    #[test]
    fn every_class_has_the_number_of_codes_that_the_table_was_made_with() {
        let expected = [
            (Class::Ok, 1),
            (Class::TransientNetwork, 41),
            (Class::TransientServer, 37),
            (Class::RateLimited, 27),
            (Class::Auth, 102),
            (Class::PermanentContent, 39),
            (Class::PermanentRecipient, 33),
            (Class::PermanentRequest, 181),
            (Class::FileUpload, 19),
            (Class::Unknown, 33),
        ];
        for (class, count) in expected {
            assert_eq!(all().filter(|row| row.class == class).count(), count, "{class}");
        }
    }

    #[test]
    fn well_known_codes_have_their_names_and_classes() {
        let expected = [
            (0, "ERR_SUCC", Class::Ok),
            (-1, "PLUGIN_GENERIC", Class::PermanentRequest),
            (-20_009, "ERR_SVR_SSO_FREQUENCY_LIMIT", Class::RateLimited),
            (-10_102, "ERR_SVR_SSO_DISCONNECT", Class::TransientNetwork),
            (2801, "WEB_NETWORK_TIMEOUT", Class::TransientNetwork),
            (6008, "ERR_FILE_TRANS_UPLOAD_FAILED", Class::FileUpload),
            (6012, "ERR_REQUEST_TIME_OUT", Class::TransientNetwork),
            (6014, "ERR_SDK_NOT_LOGGED_IN", Class::Auth),
            (6223, "ERR_REVOKE_TIME_LIMIT_EXCEED", Class::PermanentRequest),
            (9506, "ERR_SDK_NET_FREQ_LIMIT", Class::RateLimited),
            (9520, "ERR_SDK_NET_WAIT_ACK_TIMEOUT", Class::TransientNetwork),
            (10_017, "ERR_SVR_GROUP_SHUTUP_DENY", Class::PermanentRecipient),
            (20_009, "ERR_SVR_MSG_BOTH_NOT_FRIEND", Class::PermanentRecipient),
            (70_001, "ERR_SVR_ACCOUNT_USERSIG_EXPIRED", Class::Auth),
            (80_001, "ERR_SVR_COMM_SENSITIVE_TEXT", Class::PermanentContent),
            (80_003, "ERR_SVR_COMM_PRE_HOOK_FAILED", Class::TransientServer),
        ];
        for (code, name, expected_class) in expected {
            let row = lookup(code).unwrap();
            assert_eq!((row.code, row.name, row.class), (code, name, expected_class));
            assert_eq!(class(code), expected_class);
        }
    }

    #[test]
    fn codes_of_the_apps_webhook_share_one_row_and_their_neighbours_have_none() {
        for code in [120_001, 120_042, 130_000] {
            assert_eq!(lookup(code).unwrap().name, "CALLBACK_CUSTOM_C2C");
            assert_eq!(class(code), Class::PermanentContent);
        }
        assert_eq!(lookup(120_000), None);
        assert_eq!(lookup(130_001), None);
    }

    #[test]
    fn a_code_in_no_table_is_unknown() {
        for code in [i64::MIN, -30_000, -2, 1, 5_000, 9_999, 200_000, i64::MAX] {
            assert_eq!(lookup(code), None);
            assert_eq!(class(code), Class::Unknown);
        }
    }

    #[test]
    fn a_lost_answer_may_have_arrived_and_a_failure_before_the_packet_left_may_not() {
        assert!(MAY_HAVE_ARRIVED.is_sorted());
        for code in [2801, 6012, 6122, 6125, 6126, 6201, 6251, 9520, 9521, 9524, 9525, 60_008] {
            assert!(may_have_arrived(code), "{code}");
            assert!(lookup(code).is_some(), "{code}");
        }
        let refused = all().filter(|row| !may_have_arrived(row.code)).count();
        assert_eq!(refused, 513 - 12);
        for code in [0, -1, 6200, 6250, 9508, 9519, 9523, 120_042, 999_999] {
            assert!(!may_have_arrived(code), "{code}");
        }
    }

    #[test]
    fn documented_waits_belong_to_known_codes() {
        let expected_ms = [
            (8512, 60_000),
            (8513, 1_000),
            (8514, 1_000),
            (9506, 200),
            (60_020, 300_000),
            (70_050, 60_000),
            (90_024, 1_000),
            (90_047, 86_400_000),
        ];
        for (code, wait_ms) in expected_ms {
            assert_eq!(documented_wait(code), Some(Duration::from_millis(wait_ms)), "{code}");
        }
        assert_eq!(all().filter(|row| documented_wait(row.code).is_some()).count(), expected_ms.len());
        assert_eq!(documented_wait(10_023), None);
    }

    #[test]
    fn every_class_is_found_again_by_its_name() {
        for class in Class::ALL {
            assert_eq!(class.to_string().parse(), Ok(class));
        }
        let error = "Auth".parse::<Class>().unwrap_err();
        assert_eq!(error.to_string(), "`Auth` is not a class of result codes");
        assert!(error.hint().contains("permanent_recipient"));
    }
}
