//! One account: its signature, and the address of a call.
//!
//! Owns:  when a signature is made, kept and thrown away.
//! Never: shows a key or a signature.

use std::sync::{Mutex, PoisonError};

use outbox_tim::usersig;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use crate::config::TimLogin;

/// How long a signature is valid, in seconds: the vendor advises a day at least.
const VALID_S: u64 = 24 * 60 * 60;
/// How old a signature gets before it is made anew, in seconds: half its life, so that neither a slow answer
/// nor a clock that differs by hours meets an expired one.
const RENEW_S: i64 = 12 * 60 * 60;

/// An account that can send.
pub(super) struct Login {
    base: Url,
    login: TimLogin,
    signature: Mutex<Option<Signature>>,
}

struct Signature {
    text: SecretString,
    made_s: i64,
}

impl Login {
    pub(super) const fn new(base: Url, login: TimLogin) -> Self {
        Self { base, login, signature: Mutex::new(None) }
    }

    pub(super) const fn base(&self) -> &Url {
        &self.base
    }

    pub(super) const fn sdk_app_id(&self) -> u64 {
        self.login.sdk_app_id
    }

    pub(super) const fn group_rate(&self) -> u32 {
        self.login.group_rate
    }

    /// The address of a call, with a signature that is valid at `now_s`. The key file is read when a new one
    /// is needed: a few hundred bytes, twice a day.
    pub(super) fn url(&self, path: &str, now_s: i64, random: u32) -> Result<SecretString, String> {
        let signature = self.signature(now_s)?;
        let mut url = self.base.clone();
        url.set_path(path);
        url.query_pairs_mut()
            .append_pair("sdkappid", &self.login.sdk_app_id.to_string())
            .append_pair("identifier", &self.login.identifier)
            .append_pair("usersig", signature.expose_secret())
            .append_pair("random", &random.to_string())
            .append_pair("contenttype", "json");
        Ok(SecretString::from(String::from(url)))
    }

    fn signature(&self, now_s: i64) -> Result<SecretString, String> {
        let mut kept = self.signature.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes a signature from the future, which no service takes.
        let is_good = |made_s: i64| (made_s..made_s.saturating_add(RENEW_S)).contains(&now_s);
        if let Some(signature) = kept.as_ref().filter(|signature| is_good(signature.made_s)) {
            return Ok(signature.text.clone());
        }
        let time_s = u64::try_from(now_s).map_err(|_| "the clock stands before 1970: set it".to_owned())?;
        let key = self.login.secret_key.read().map_err(|reason| format!("secret_key_file {reason}"))?;
        let params = usersig::Params {
            sdk_app_id: self.login.sdk_app_id,
            identifier: &self.login.identifier,
            time_s,
            expire_s: VALID_S,
            userbuf: None,
        };
        let text =
            usersig::sign(&params, key.expose_secret().as_bytes()).map_err(|error| error.to_string())?;
        let text = SecretString::from(text);
        *kept = Some(Signature { text: text.clone(), made_s: now_s });
        Ok(text)
    }

    /// The next call gets a new signature, from the key file as it is then.
    pub(super) fn forget_signature(&self) {
        *self.signature.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;
    use crate::config::SecretFile;

    fn login(folder: &tempfile::TempDir, key: &str) -> Login {
        use std::io::Write as _;
        let path = folder.path().join("key");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(key.as_bytes()).unwrap();
        let base_url = "https://im.example:8443".to_owned();
        let login = TimLogin {
            base_url: base_url.clone(),
            sdk_app_id: 1_400_000_000,
            identifier: "admin istrator".into(),
            secret_key: SecretFile::unchecked(path),
            rate: 200,
            group_rate: 40,
        };
        Login::new(Url::parse(&base_url).unwrap(), login)
    }

    fn signature_of(login: &Login, now_s: i64) -> String {
        login.signature(now_s).unwrap().expose_secret().to_owned()
    }

    #[test]
    fn the_address_has_the_five_names_of_the_interface() {
        let folder = tempfile::tempdir().unwrap();
        let login = login(&folder, "key\n");
        let url = login.url("v4/openim/sendmsg", 1_700_000_000, 7).unwrap();
        let url = Url::parse(url.expose_secret()).unwrap();
        assert_eq!((url.path(), url.port()), ("/v4/openim/sendmsg", Some(8443)));
        let pairs: Vec<_> = url.query_pairs().collect();
        let names: Vec<_> = pairs.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(names, ["sdkappid", "identifier", "usersig", "random", "contenttype"]);
        assert_eq!(pairs[1].1, "admin istrator");
        assert_eq!(pairs[2].1, signature_of(&login, 1_700_000_000));
        assert_eq!((pairs[3].1.as_ref(), pairs[4].1.as_ref()), ("7", "json"));
    }

    #[test]
    fn a_signature_is_kept_for_half_its_life_and_not_beyond_a_clock_that_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let login = login(&folder, "key");
        let start = 1_700_000_000;
        let first = signature_of(&login, start);
        assert_eq!(signature_of(&login, start + RENEW_S - 1), first);
        let renewed = signature_of(&login, start + RENEW_S);
        assert_ne!(renewed, first);
        assert_eq!(signature_of(&login, start), first, "made anew for the time that it is now");
    }

    #[test]
    fn a_corrected_key_counts_once_the_signature_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = login(&folder, "wrong");
        let first = signature_of(&wrong, 1_700_000_000);
        drop(login(&folder, "right"));
        assert_eq!(signature_of(&wrong, 1_700_000_000), first);
        wrong.forget_signature();
        assert_ne!(signature_of(&wrong, 1_700_000_000), first);
    }

    #[test]
    fn a_key_that_is_gone_or_open_to_others_is_named_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let login = login(&folder, "key");
        let path = folder.path().join("key");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let reason = login.signature(1_700_000_000).unwrap_err();
        assert!(reason.contains("chmod 600") && reason.contains("secret_key_file"), "{reason}");
        std::fs::remove_file(&path).unwrap();
        assert!(login.signature(1_700_000_000).unwrap_err().contains("cannot be read"));
    }
}
