//! Query strings: known parameters only, each with its limits.
//!
//! Owns:  splitting, decoding, and the words of these errors.
//! Never: knows what a parameter means.

use std::time::Duration;

use outbox_control::parse_duration_within;

use super::problem::{Refused, bad_request};

/// Entries of a page when `limit` is not given.
const LIMIT_DEFAULT: usize = 100;

/// The parameters of a request.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; a parameter that is not `known` is an error.
    pub(super) fn read(text: Option<&str>, known: &[&str]) -> Result<Self, Refused> {
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let detail = if known.is_empty() {
                format!("unknown parameter `{name}`: this call has none")
            } else {
                format!("unknown parameter `{name}`: this call has {}", known.join(", "))
            };
            return Err(bad_request(detail).with_field(name.as_str()).into());
        }
        Ok(Self(pairs))
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(is, _)| is == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Refused> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(bad_request(format!("`{name}` is given more than once")).with_field(name).into()),
            None => Ok(first),
        }
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refused> {
        let parse = |text: &str| {
            text.parse().map_err(|_| bad_request(format!("`{name}` is not a whole number")).with_field(name))
        };
        Ok(self.one(name)?.map(parse).transpose()?)
    }

    /// Yes or no.
    pub(super) fn switch(&self, name: &str) -> Result<Option<bool>, Refused> {
        match self.one(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(bad_request(format!("`{name}` is `true` or `false`")).with_field(name).into()),
        }
    }

    /// Entries of a page: 1 to 1000.
    pub(super) fn limit(&self) -> Result<usize, Refused> {
        match self.number("limit")? {
            None => Ok(LIMIT_DEFAULT),
            Some(limit @ 1..=1000) => Ok(usize::try_from(limit).unwrap_or(LIMIT_DEFAULT)),
            Some(_) => Err(bad_request("`limit` is 1 to 1000").with_field("limit").into()),
        }
    }

    /// A duration within limits.
    pub(super) fn duration(
        &self,
        name: &str,
        min: Duration,
        max: Duration,
    ) -> Result<Option<Duration>, Refused> {
        let parse = |text: &str| {
            parse_duration_within(text, min, max)
                .map_err(|error| bad_request(format!("`{name}`: {error}")).with_field(name))
        };
        Ok(self.one(name)?.map(parse).transpose()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_repeated_and_wrong_parameters_are_named() {
        let detail = |refused: Refused| refused.0.detail;
        assert!(detail(Query::read(Some("limt=3"), &["limit"]).err().unwrap()).contains("`limt`"));
        let query =
            Query::read(Some("limit=0&since=x&since=y&a=b%20c+d"), &["limit", "since", "a"]).ok().unwrap();
        assert!(detail(query.limit().err().unwrap()).contains("1 to 1000"));
        assert!(detail(query.number("since").err().unwrap()).contains("more than once"));
        assert_eq!(query.one("a").ok().unwrap(), Some("b c d"));
        assert_eq!(query.all("since").count(), 2);
    }
}
