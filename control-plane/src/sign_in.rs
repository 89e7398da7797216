//! Signing in at the API with a user name, or an e-mail address, and a password (M8).
//!
//! ```text
//! throttle ─▶ who is that? ─▶ right? (our own hash, the backend's word) ─▶ a user, made now if need be ─▶ audit
//! ```
//!
//! Whether there is such a user shows in nothing but the audit: neither in the answer, nor in its time, nor in what is
//! counted. What looks like a token never comes here ([`policy::decide`]).

pub(crate) mod probe;
pub(crate) mod records;
pub(crate) mod throttle;

use crate::App;
use crate::change::{Author, Change, ChangeError, NewUser};
use crate::clock;
use crate::passwords::{PasswordError, Passwords, RightBy};
use crate::permission::{Action, own_permit};
use crate::store::users;
use policy::calls::Escaped;
use policy::credential::{SECRET_LEN_MAX, Secret};
use policy::record::{check_email, check_user_name, folded};
use policy::settings::PasswordCheck;
use probe::{Probe, ProbeError};
use records::{Records, Told};
use sea_orm::sea_query::ExprTrait as _;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use std::net::IpAddr;
use std::time::Duration;
use throttle::{Attempt, Held, Throttle};

/// How long a request waits for others of the same user that are under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// What signing in needs.
pub(crate) struct SignIn {
    pub(crate) passwords: Passwords,
    pub(crate) records: Records,
    probe: Probe,
    throttle: Throttle,
}

/// Why signing in cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInStartError {
    #[error(transparent)]
    Passwords(#[from] PasswordError),
    #[error("cannot make an HTTP client: {0}")]
    Probe(#[from] reqwest::Error),
}

impl SignIn {
    /// Ready for people to come.
    pub(crate) fn new() -> Result<Self, SignInStartError> {
        let (records, throttle) = (Records::default(), Throttle::default());
        Ok(Self { passwords: Passwords::new()?, records, probe: Probe::new()?, throttle })
    }
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    #[error("nobody signs in with a password")]
    NotByPassword,
    #[error("user name or password are wrong")]
    Wrong,
    #[error("the user is suspended")]
    Suspended,
    #[error("the password is right, but there is no such user")]
    NotAUser,
    #[error("too many attempts; the next one in {0} s")]
    TooMany(u64),
    #[error("too many passwords are being checked")]
    Busy,
    #[error(transparent)]
    Probe(ProbeError),
    #[error(transparent)]
    Password(PasswordError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("the database: {0}")]
    Database(#[from] DbErr),
}

/// With what somebody comes.
pub(crate) struct Coming<'a> {
    /// Name or e-mail address, as typed.
    pub(crate) name: &'a [u8],
    pub(crate) password: &'a Secret,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<&'a str>,
}

/// Who this is, and by what the password was found right.
pub(crate) async fn sign_in(app: &App, coming: Coming<'_>) -> Result<(users::Model, RightBy), SignInError> {
    let settings = app.store.settings();
    let settings = &settings.0;
    if settings.password_check == PasswordCheck::None {
        return Err(SignInError::NotByPassword);
    }
    let attempt = attempt(app, &coming).await?;
    // A name that no user can have is nobody's, and no password is empty: a directory takes that for nobody in particular.
    let name = std::str::from_utf8(coming.name).ok().filter(|name| {
        let plausible = (1..=SECRET_LEN_MAX).contains(&coming.password.expose().len());
        plausible && (check_user_name(name).is_ok() || check_email(name).is_ok())
    });
    let user = match name {
        Some(name) => find(&app.store.db, name).await?,
        None => None,
    };
    let right_by = match (settings.password_check, &settings.password_probe_url) {
        (PasswordCheck::Local, _) => {
            let hash = user.as_ref().and_then(|user| user.password_hash.clone());
            let right = app.sign_in.passwords.is_right(hash.as_deref(), coming.password).await?;
            hash.filter(|_| right).map(RightBy::Hash)
        }
        (PasswordCheck::Backend, Some(url)) => match user.as_ref().map(|user| user.name.as_str()).or(name) {
            // By the user's own name, whatever was typed: at the backend somebody else may be called like that address.
            Some(name) => {
                let right = app.sign_in.probe.is_right(url.as_str(), name, coming.password).await?;
                right.then_some(RightBy::Backend)
            }
            None => None,
        },
        (PasswordCheck::Backend, None) | (PasswordCheck::None, _) => return Err(SignInError::NotByPassword),
    };
    let known = user.as_ref().map(|user| user.name.clone());
    let failed = |how| {
        let told = Told {
            name: told_name(known.as_deref(), &coming),
            address: coming.address,
            request_id: coming.request_id,
            how,
        };
        app.sign_in.records.failed(&app.store, told)
    };
    let Some(right_by) = right_by else {
        attempt.failed(clock::now());
        failed(if user.is_some() { "wrong_password" } else { "unknown_user" }).await?;
        return Err(SignInError::Wrong);
    };
    let user = match (user, name) {
        (Some(user), _) => user,
        (None, Some(name)) if settings.create_users_on_sign_in && check_user_name(name).is_ok() => {
            create(app, name).await?
        }
        (None, _) => {
            failed("not_a_user").await?;
            return Err(SignInError::NotAUser);
        }
    };
    if user.suspended {
        failed("suspended").await?;
        return Err(SignInError::Suspended);
    }
    attempt.succeeded(clock::now());
    let how = match right_by {
        RightBy::Hash(_) => "local",
        RightBy::Backend => "backend",
    };
    let told = Told { name: told_name(None, &coming), address: coming.address, request_id: coming.request_id, how };
    app.sign_in.records.succeeded(&app.store, &user, told).await?;
    Ok((user, right_by))
}

/// Whether a user who is here already knows the local password that is to be another one. As often as anybody may try.
pub(crate) async fn confirm(app: &App, user: &users::Model, coming: Coming<'_>) -> Result<bool, SignInError> {
    let attempt = attempt(app, &coming).await?;
    if app.sign_in.passwords.is_right(user.password_hash.as_deref(), coming.password).await? {
        attempt.succeeded(clock::now());
        return Ok(true);
    }
    attempt.failed(clock::now());
    let Coming { name: _, password: _, address, request_id } = coming;
    let told = Told { name: user.name.clone(), address, request_id, how: "wrong_current_password" };
    app.sign_in.records.failed(&app.store, told).await?;
    Ok(false)
}

async fn attempt<'a>(app: &'a App, coming: &Coming<'_>) -> Result<Attempt<'a>, SignInError> {
    let attempt = app.sign_in.throttle.attempt(clock::now, coming.name, coming.address, PATIENCE).await;
    attempt.map_err(|held| match held {
        Held::For(seconds) => {
            app.sign_in.records.held_up();
            SignInError::TooMany(seconds)
        }
        Held::ByOthers => SignInError::Busy,
    })
}

/// The user with this name or e-mail address, in any case.
async fn find(db: &impl ConnectionTrait, name: &str) -> Result<Option<users::Model>, DbErr> {
    let name = folded(name);
    let called = users::Column::NameFolded.eq(&name).or(users::Column::EmailFolded.eq(&name));
    users::Entity::find().filter(called).one(db).await
}

/// Makes a user of somebody whose password the backend knows.
async fn create(app: &App, name: &str) -> Result<users::Model, SignInError> {
    let mut change = Change::begin(&app.store, Author::Program).await?;
    // Somebody may have been quicker.
    if let Some(user) = find(change.transaction(), name).await? {
        return Ok(user);
    }
    let user = NewUser { name, email: None, sysadmin: false };
    let user = change.create_user(&own_permit(Action::CreateUser), user).await?;
    change.commit().await?;
    Ok(user)
}

/// Whom an attempt concerns. What was typed as a name is not told if it may be the password; nor if it is longer than any
/// name, in which looking for the password could take seconds.
fn told_name(known: Option<&str>, coming: &Coming<'_>) -> String {
    let password = coming.password.expose();
    let shows_password =
        |name: &[u8]| !password.is_empty() && name.windows(password.len()).any(|part| part == password);
    match known {
        Some(name) => name.to_owned(),
        None if coming.name.len() > SECRET_LEN_MAX || shows_password(coming.name) => "(unnamed)".into(),
        None => Escaped(coming.name).to_string(),
    }
}

impl From<PasswordError> for SignInError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            other => Self::Password(other),
        }
    }
}

impl From<ProbeError> for SignInError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Busy => Self::Busy,
            other => Self::Probe(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_a_name_in_which_looking_for_the_password_takes_seconds() {
        let told = |name: &[u8], password: &[u8]| {
            let password = Secret::new(password.to_vec());
            told_name(None, &Coming { name, password: &password, address: None, request_id: None })
        };
        let almost = [vec![b'a'; 150_000], vec![b'b']].concat();
        assert_eq!(told(&vec![b'a'; 300_000], &almost), "(unnamed)");
        assert_eq!(told(&[b'a'; SECRET_LEN_MAX], &almost).chars().count(), 301);
        assert_eq!(told(b"alice", b"wrong"), "alice");
        assert_eq!(told(b"my password", b"password"), "(unnamed)");
    }
}
