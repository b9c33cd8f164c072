//! Text to quantity: sizes, file modes, addresses, urls, names of users and groups.
//!
//! Owns:  the grammar of single values, their bounds and the words that explain them.
//! Never: knows which option a value belongs to, reads files, reads durations (`outbox_control` does).

use std::time::Duration;

use super::types::{Principal, ProbeTarget};

/// What is wrong with a value, and what to write instead. Never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Shortest duration: below it a wait is a busy loop.
pub(crate) const DURATION_MIN: Duration = Duration::from_millis(10);
/// Longest duration, ten years: sums of it with any wall clock time still fit.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(3650 * 86_400);

const BYTES_HINT: &str = "write a whole number and KiB, MiB, GiB or TiB, such as \"64MiB\", or plain bytes";

/// Splits `64MiB` into `64` and `MiB`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

/// Reads a number of bytes.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, Problem> {
    let bad = || Problem::new(format!("is not a size: \"{}\"", excerpt(text))).hint(BYTES_HINT);
    let (number, unit) = number_and_unit(text).ok_or_else(bad)?;
    let unit_bytes: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(bad()),
    };
    // Signed, because counters on disk and numbers in TOML are.
    number
        .checked_mul(unit_bytes)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| Problem::new(format!("is too large: \"{}\"", excerpt(text))))
}

/// Writes a number of bytes in the largest unit that divides it.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// Reads file permissions in octal.
pub(crate) fn parse_mode(text: &str) -> Result<u32, Problem> {
    let hint = "write three or four octal digits in quotes, such as \"0600\"";
    let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777);
    mode.ok_or_else(|| Problem::new(format!("is not a file mode: \"{}\"", excerpt(text))).hint(hint))
}

/// Reads `user:NAME` or `group:NAME`. Whether they exist is found out when the socket opens.
pub(crate) fn parse_principal(text: &str) -> Result<Principal, Problem> {
    let bad = || {
        Problem::new(format!("names neither a user nor a group: \"{}\"", excerpt(text)))
            .hint("write \"user:NAME\" or \"group:NAME\"")
    };
    let (kind, name) = text.split_once(':').ok_or_else(bad)?;
    let plain =
        !name.is_empty() && name.len() <= 256 && !name.chars().any(|c| c.is_whitespace() || c.is_control());
    match kind {
        "user" if plain => Ok(Principal::User(name.to_owned())),
        "group" if plain => Ok(Principal::Group(name.to_owned())),
        _ => Err(bad()),
    }
}

/// Reads `tcp://host:port`.
pub(crate) fn parse_probe(text: &str) -> Result<ProbeTarget, Problem> {
    let bad = || {
        Problem::new(format!("is not an address to probe: \"{}\"", excerpt(text)))
            .hint("write \"tcp://host:port\", an IPv6 address in brackets")
    };
    let authority: http::uri::Authority =
        text.strip_prefix("tcp://").ok_or_else(bad)?.parse().map_err(|_| bad())?;
    let port = authority.port_u16().filter(|port| *port > 0).ok_or_else(bad)?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(bad());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(ProbeTarget { host, port })
}

/// Reads the address of an HTTP service. Its text is not repeated in errors: it may hold a password.
/// Parses where a service with paths of its own is: a host, a host and a port, or a URL without path. Requests
/// carry a signature, so `http://` is for this machine alone.
pub(crate) fn parse_base_url(text: &str) -> Result<String, Problem> {
    let hint = "write a host such as \"adminapisgp.im.qcloud.com\", or \"https://HOST:PORT\"";
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = parse_url(&full).map_err(|problem| Problem::new(problem.message).hint(hint))?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(Problem::new("must not have a path: the service's own follow it").hint(hint));
    }
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_here =
        host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if url.scheme_str() == Some("http") && !is_here {
        return Err(Problem::new("must be https:// unless the host is this machine")
            .hint("requests carry a signature that others on the way could use"));
    }
    let authority = url.authority().map_or("", |authority| authority.as_str());
    Ok(format!("{}://{authority}", url.scheme_str().unwrap_or("https")))
}

pub(crate) fn parse_url(text: &str) -> Result<http::Uri, Problem> {
    let hint = "write an address such as \"https://im.example.com/send\"";
    let url: http::Uri = text.parse().map_err(|_| Problem::new("is not a url").hint(hint))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(Problem::new("must begin with http:// or https://").hint(hint));
    }
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err(Problem::new("must not contain a user name or password")
            .hint("send an `Authorization` header instead: [transport.http] headers"));
    }
    if url.host().is_none_or(str::is_empty) {
        return Err(Problem::new("names no host").hint(hint));
    }
    if authority.matches(':').count() > 0
        && !authority.ends_with(']')
        && url.port_u16().is_none_or(|p| p == 0)
    {
        return Err(Problem::new("has a port that is not between 1 and 65535"));
    }
    if text.contains('#') {
        return Err(Problem::new("must not contain a fragment (`#`)"));
    }
    Ok(url)
}

/// Cuts a value to what an error message can bear.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut short: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_or_plain_bytes() {
        let good = [
            ("0", 0),
            ("1048576", 1 << 20),
            ("64MiB", 64 << 20),
            ("4GiB", 4 << 30),
            ("1KiB", 1024),
            ("2TiB", 2 << 40),
        ];
        for (text, bytes) in good {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
            assert_eq!(parse_bytes(&bytes_text(bytes)), Ok(bytes), "{text}");
        }
        for bad in
            ["", "MiB", "1MB", "1.5GiB", "-1", "1 MiB", "1mib", "99999999999TiB", "9223372036854775808"]
        {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modes_are_octal_text() {
        assert_eq!(parse_mode("0600"), Ok(0o600));
        assert_eq!(parse_mode("755"), Ok(0o755));
        for bad in ["", "0o600", "600x", "0888", "1777", "00600", "+600"] {
            assert!(parse_mode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn principals_name_a_user_or_a_group() {
        assert_eq!(parse_principal("user:alice"), Ok(Principal::User("alice".into())));
        assert_eq!(parse_principal("group:chat"), Ok(Principal::Group("chat".into())));
        for bad in ["alice", "user:", "users:alice", "user: alice", "User:alice"] {
            assert!(parse_principal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn probes_are_tcp_addresses_with_a_port() {
        assert_eq!(
            parse_probe("tcp://im.example.com:443"),
            Ok(ProbeTarget { host: "im.example.com".into(), port: 443 })
        );
        assert_eq!(parse_probe("tcp://[::1]:80"), Ok(ProbeTarget { host: "::1".into(), port: 80 }));
        for bad in [
            "im.example.com:443",
            "tcp://host",
            "tcp://:443",
            "tcp://host:0",
            "tcp://host:70000",
            "tcp://u@h:1",
            "udp://h:1",
        ] {
            assert!(parse_probe(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_base_url_is_a_host_with_tls_unless_it_is_this_machine() {
        for (text, base) in [
            ("adminapisgp.im.qcloud.com", "https://adminapisgp.im.qcloud.com"),
            ("im.example:8443", "https://im.example:8443"),
            ("https://im.example/", "https://im.example"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:1", "http://localhost:1"),
            ("http://[::1]:9/", "http://[::1]:9"),
        ] {
            assert_eq!(parse_base_url(text).unwrap(), base, "{text}");
        }
        for (text, part) in [
            ("", "not a url"),
            ("im.example/v4", "path"),
            ("https://im.example/?a", "path"),
            ("http://im.example", "https"),
            ("ftp://im.example", "http"),
            ("me:you@im.example", "user name"),
            ("im.example:0", "port"),
        ] {
            let problem = parse_base_url(text).unwrap_err();
            assert!(problem.message.contains(part), "{text}: {}", problem.message);
            assert!(!problem.message.contains("you"), "{text}");
        }
    }

    #[test]
    fn urls_are_http_with_a_host_and_without_credentials() {
        for good in [
            "http://localhost:8080/",
            "https://im.example.com/send?a=b",
            "http://[::1]:80/x",
            "http://[::1]/x",
        ] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/send",
            "im.example.com",
            "ftp://h/",
            "https://",
            "http://h:99999/",
            "http://h:0/",
            "http://h/#x",
        ] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
        let refused = parse_url("https://alice:hunter2@example.com/").expect_err("a password in a url");
        assert!(!refused.message.contains("hunter2"));
    }
}
