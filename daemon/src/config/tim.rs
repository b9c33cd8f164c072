//! Accounts of Tencent IM: what each one is once everything that it leaves out is filled in.
//!
//! Owns:  which keys an account needs, what a further account takes over from the first, the regions' hosts.
//! Never: reads a key file.

use std::collections::BTreeMap;

use outbox_control::types::DEFAULT_ACCOUNT;

use super::files::SecretFile;
use super::types::{TimAccount, TimConfig};

/// Calls a second of one account: the service's limit for each of its interfaces.
pub(crate) const RATE: u32 = 200;
/// Messages a second into one group, whoever sends them: the service's limit.
pub(crate) const GROUP_RATE: u32 = 40;

/// Regions of the service and the hosts of their REST interfaces. Tokyo stands in newer documents only, Mumbai
/// in older ones only.
pub(crate) const REGIONS: [(&str, &str); 8] = [
    ("china", "console.tim.qq.com"),
    ("singapore", "adminapisgp.im.qcloud.com"),
    ("seoul", "adminapikr.im.qcloud.com"),
    ("tokyo", "adminapijpn.im.qcloud.com"),
    ("frankfurt", "adminapiger.im.qcloud.com"),
    ("silicon-valley", "adminapiusa.im.qcloud.com"),
    ("jakarta", "adminapiidn.im.qcloud.com"),
    ("mumbai", "adminapiind.im.qcloud.com"),
];

/// An account with everything that sending needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimLogin {
    /// Where the REST interface is: scheme and authority, without a slash at the end.
    pub base_url: String,
    /// Application number.
    pub sdk_app_id: u64,
    /// The user that signs: an administrator of the application.
    pub identifier: String,
    /// The key that signatures are made with.
    pub secret_key: SecretFile,
    /// Calls a second.
    pub rate: u32,
    /// Messages a second into one group.
    pub group_rate: u32,
}

/// A key that an account needs and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The account.
    pub(crate) account: String,
    /// The key, `host` where neither host nor region is there.
    pub(crate) key: &'static str,
}

impl TimConfig {
    /// The accounts that can send, by name. What a further account leaves out is that of `[transport.tim]`;
    /// whoever names further accounts alone needs no first one.
    pub(crate) fn logins(&self) -> Result<BTreeMap<String, TimLogin>, Vec<Missing>> {
        let mut logins = BTreeMap::new();
        let mut missing = Vec::new();
        let nothing = TimAccount::default();
        let first = &self.default;
        let is_template = first.identifier.is_none() && !self.accounts.is_empty();
        let default = (!is_template).then_some((DEFAULT_ACCOUNT, first, &nothing));
        let further = self.accounts.iter().map(|(name, account)| (name.as_str(), account, first));
        for (name, account, above) in default.into_iter().chain(further) {
            match complete(account, above) {
                Ok(login) => drop(logins.insert(name.to_owned(), login)),
                Err(keys) => {
                    missing.extend(keys.into_iter().map(|key| Missing { account: name.to_owned(), key }));
                }
            }
        }
        if missing.is_empty() { Ok(logins) } else { Err(missing) }
    }
}

fn complete(account: &TimAccount, above: &TimAccount) -> Result<TimLogin, Vec<&'static str>> {
    let base_url = base_url(account).or_else(|| base_url(above));
    let sdk_app_id = account.sdk_app_id.or(above.sdk_app_id);
    let identifier = account.identifier.clone().or_else(|| above.identifier.clone());
    let secret_key = account.secret_key_file.clone().or_else(|| above.secret_key_file.clone());
    let missing: Vec<_> = [
        ("host", base_url.is_none()),
        ("sdk_app_id", sdk_app_id.is_none()),
        ("identifier", identifier.is_none()),
        ("secret_key_file", secret_key.is_none()),
    ]
    .into_iter()
    .filter_map(|(key, is_missing)| is_missing.then_some(key))
    .collect();
    let (Some(base_url), Some(sdk_app_id), Some(identifier), Some(secret_key)) =
        (base_url, sdk_app_id, identifier, secret_key)
    else {
        return Err(missing);
    };
    Ok(TimLogin {
        base_url,
        sdk_app_id,
        identifier,
        secret_key,
        rate: account.rate.or(above.rate).unwrap_or(RATE),
        group_rate: account.group_rate.or(above.group_rate).unwrap_or(GROUP_RATE),
    })
}

fn base_url(account: &TimAccount) -> Option<String> {
    account.host.clone().or_else(|| {
        let region = account.region.as_deref()?;
        REGIONS.iter().find(|(name, _)| *name == region).map(|(_, host)| format!("https://{host}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> TimAccount {
        TimAccount {
            region: Some("singapore".into()),
            sdk_app_id: Some(1_400_000_000),
            identifier: Some("administrator".into()),
            secret_key_file: Some(SecretFile::unchecked("/key")),
            rate: Some(100),
            ..TimAccount::default()
        }
    }

    #[test]
    fn a_further_account_takes_over_what_it_leaves_out() {
        let other = TimAccount {
            host: Some("https://other.example".into()),
            identifier: Some("bot".into()),
            group_rate: Some(10),
            ..TimAccount::default()
        };
        let config =
            TimConfig { default: full(), accounts: [("b".into(), other)].into(), ..TimConfig::default() };
        let logins = config.logins().unwrap();
        assert_eq!(logins["default"].base_url, "https://adminapisgp.im.qcloud.com");
        assert_eq!((logins["default"].rate, logins["default"].group_rate), (100, GROUP_RATE));
        let login = &logins["b"];
        assert_eq!((login.base_url.as_str(), login.identifier.as_str()), ("https://other.example", "bot"));
        assert_eq!((login.sdk_app_id, login.rate, login.group_rate), (1_400_000_000, 100, 10));
    }

    #[test]
    fn the_first_account_may_hold_only_what_the_others_share() {
        let shared = TimAccount { identifier: None, ..full() };
        let bot = TimAccount { identifier: Some("bot".into()), ..TimAccount::default() };
        let config = TimConfig {
            default: shared.clone(),
            accounts: [("b".into(), bot)].into(),
            ..TimConfig::default()
        };
        assert_eq!(config.logins().unwrap().into_keys().collect::<Vec<_>>(), ["b"]);
        let alone = TimConfig { default: shared, ..TimConfig::default() };
        assert_eq!(alone.logins().unwrap_err(), [Missing { account: "default".into(), key: "identifier" }]);
    }

    #[test]
    fn every_missing_key_is_named() {
        let missing = TimConfig::default().logins().unwrap_err();
        let keys: Vec<_> = missing.iter().map(|missing| missing.key).collect();
        assert_eq!(keys, ["host", "sdk_app_id", "identifier", "secret_key_file"]);
    }
}
