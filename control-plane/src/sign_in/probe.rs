//! Asking the backend whether a password is right: a GET of `password_probe_url` with it, by Basic.
//!
//! 2xx is yes, 401 and 403 are no, and anything else is no answer. The answer's body is not read, and no redirection is
//! followed: the password goes to the one address that the administrator named.
//!
//! An address that says yes to anybody, such as a page that shows a form, would let everyone in as anyone. So before its
//! first yes is believed, it is asked about somebody who does not exist, once for each address and start.

use crate::keys;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::credential::Secret;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// How long the backend may take to answer.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Questions at a time: enough for people who come to work, and nothing to a backend.
const AT_A_TIME: usize = 16;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the backend.
pub(crate) struct Probe {
    client: Client,
    places: Semaphore,
    /// The address that is known to say no as well.
    says_no: Mutex<Option<String>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("too many passwords are being checked")]
    Busy,
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
    #[error("the backend did not say whether a password is right: {0}")]
    Request(String),
    #[error("the backend did not say whether a password is right: it answered {0}")]
    Status(StatusCode),
    #[error("password_probe_url says yes to anybody, whatever the password; name an address that refuses wrong ones")]
    SaysYesToAnybody,
    #[error("the name and the password cannot stand in a header")]
    Credential,
}

impl Probe {
    /// Ready to ask. Proxies that the environment names are not heeded: they would see every password.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        let client = Client::builder().redirect(Policy::none()).timeout(TIME_MAX).no_proxy().build()?;
        Ok(Self { client, places: Semaphore::new(AT_A_TIME), says_no: Mutex::default() })
    }

    /// Whether the backend lets this user in with this password.
    pub(crate) async fn is_right(&self, url: &str, user: &str, password: &Secret) -> Result<bool, ProbeError> {
        let place = tokio::time::timeout(PATIENCE, self.places.acquire()).await;
        let _place = place.ok().and_then(Result::ok).ok_or(ProbeError::Busy)?;
        let yes = self.ask(url, user, password).await?;
        if !yes || self.says_no().as_deref() == Some(url) {
            return Ok(yes);
        }
        let random = || keys::random::<16>().map(|bytes| keys::hex(&*bytes)).map_err(ProbeError::Randomness);
        let (nobody, no_password) = (random()?, random()?);
        if self.ask(url, &nobody, &Secret::new(no_password.as_bytes().to_vec())).await? {
            return Err(ProbeError::SaysYesToAnybody);
        }
        *self.says_no() = Some(url.to_owned());
        Ok(yes)
    }

    async fn ask(&self, url: &str, user: &str, password: &Secret) -> Result<bool, ProbeError> {
        let joined = Zeroizing::new([user.as_bytes(), b":", password.expose()].concat());
        let value = Zeroizing::new(format!("Basic {}", *Zeroizing::new(BASE64.encode(&*joined))));
        let mut value = HeaderValue::from_str(&value).map_err(|_| ProbeError::Credential)?;
        value.set_sensitive(true);
        let failed = |error: reqwest::Error| ProbeError::Request(with_causes(&error.without_url()));
        let mut request = self.client.get(url).build().map_err(failed)?;
        // In the place of a credential that may stand in the address.
        request.headers_mut().insert(AUTHORIZATION, value);
        match self.client.execute(request).await.map_err(failed)?.status() {
            status if status.is_success() => Ok(true),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(false),
            status => Err(ProbeError::Status(status)),
        }
    }

    fn says_no(&self) -> MutexGuard<'_, Option<String>> {
        self.says_no.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error in the words of all that led to it: the client's own are no more than that something failed.
fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
