//! Paths and queries of calls.
//!
//! Owns:  percent-encoding of ids, and the query of lists.
//! Never: checks an id or a limit: the daemon says what is wrong with them.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::types::State;

/// Everything but the unreserved characters of RFC 3986: an id with a slash stays one segment.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which entries a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Any of these states; none means all.
    pub states: Vec<State>,
    /// Only this conversation.
    pub conversation: Option<String>,
    /// Only this account.
    pub account: Option<String>,
    /// Entries of a page, 1 to 1000; absent: 100.
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Which receipts a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentQuery {
    /// Only those with a greater number.
    pub since: Option<u64>,
    /// Receipts of a page, 1 to 1000; absent: 100.
    pub limit: Option<u32>,
    /// Only those that this replacement replaced.
    pub new_msg_id: Option<String>,
}

impl ListQuery {
    /// Path and query of the call.
    #[must_use]
    pub fn target(&self) -> String {
        let mut query = Query::new("/v1/messages");
        for state in &self.states {
            query.add("state", Some(state.as_str()));
        }
        query.add("conversation", self.conversation.as_deref());
        query.add("account", self.account.as_deref());
        query.add("limit", self.limit.map(|limit| limit.to_string()).as_deref());
        query.add("cursor", self.cursor.as_deref());
        query.target
    }
}

impl SentQuery {
    /// Path and query of the call.
    #[must_use]
    pub fn target(&self) -> String {
        let mut query = Query::new("/v1/sent");
        query.add("since", self.since.map(|since| since.to_string()).as_deref());
        query.add("limit", self.limit.map(|limit| limit.to_string()).as_deref());
        query.add("newMsgID", self.new_msg_id.as_deref());
        query.target
    }
}

pub(super) fn message_path(msg_id: &str, tail: &str) -> String {
    path("/v1/messages/", msg_id, tail)
}

pub(super) fn receipt_path(msg_id: &str) -> String {
    path("/v1/sent/", msg_id, "")
}

pub(super) fn account_path(account: &str, tail: &str) -> String {
    path("/v1/accounts/", account, tail)
}

pub(super) fn lease_path(lease: &str, tail: &str) -> String {
    path("/v1/leases/", lease, tail)
}

fn path(head: &str, id: &str, tail: &str) -> String {
    format!("{head}{}{tail}", utf8_percent_encode(id, ESCAPED))
}

struct Query {
    target: String,
    mark: char,
}

impl Query {
    fn new(path: &str) -> Self {
        Self { target: path.to_owned(), mark: '?' }
    }

    fn add(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        // Writing to a String cannot fail.
        let _ = write!(self.target, "{}{name}={}", self.mark, utf8_percent_encode(value, ESCAPED));
        self.mark = '&';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_of_an_id_stand_as_they_are() {
        assert_eq!(message_path("aZ09-._~", "/why"), "/v1/messages/aZ09-._~/why");
        assert_eq!(message_path("a/b?c#d e%é", ""), "/v1/messages/a%2Fb%3Fc%23d%20e%25%C3%A9");
        assert_eq!(account_path("1400:ada", "/pause"), "/v1/accounts/1400%3Aada/pause");
    }

    #[test]
    fn a_query_repeats_states_and_escapes_values() {
        let query = ListQuery {
            states: vec![State::Failed, State::Held],
            conversation: Some("c2c:a&b".into()),
            limit: Some(5),
            ..ListQuery::default()
        };
        assert_eq!(query.target(), "/v1/messages?state=failed&state=held&conversation=c2c%3Aa%26b&limit=5");
        assert_eq!(ListQuery::default().target(), "/v1/messages");
        let query = SentQuery { since: Some(0), new_msg_id: Some("n+1".into()), ..SentQuery::default() };
        assert_eq!(query.target(), "/v1/sent?since=0&newMsgID=n%2B1");
    }
}
