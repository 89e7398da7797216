//! How a token is made: what is the same for the native API, for facades and for imports.

use super::validity::{Wanted, span_of};
use super::{check_ip_ranges, check_label};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::change::{Change, ChangeError, NewToken};
use crate::keys;
use crate::permission::{Action, Permit, Whose};
use crate::store::tokens::{self, recoverable, timestamp};
use crate::store::users;
use policy::credential::{SECRET_LEN_MAX, Secret};
use policy::restrictions::Set;
use policy::{DenyReason, HashKeys, IpRule, KeyedHash, Scope, Timestamp, token};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// A token as somebody wants it, as far as that can be judged by itself.
#[derive(Default)]
pub(crate) struct Wish {
    /// Needed unless there is `copy_of`.
    pub(crate) label: Option<String>,
    /// The token from which everything is taken that is not said here.
    pub(crate) copy_of: Option<String>,
    pub(crate) owner: ForWhom,
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) wanted: Wanted,
    pub(crate) scope: Option<Scope>,
    pub(crate) ip_ranges: Option<Vec<IpRule>>,
    /// `Some(None)`: none.
    pub(crate) restrictions: Option<Option<Set>>,
}

/// For whom a token is to be.
#[derive(Default)]
pub(crate) enum ForWhom {
    /// Nobody was named: for the caller, or for the owner of the one that is copied.
    #[default]
    Unsaid,
    /// For this user, by name or e-mail address.
    Named(String),
    /// For whoever is named beside it in `Basic` (U4).
    Anybody,
}

/// A token that was made.
pub(crate) struct Made {
    pub(crate) token: tokens::Model,
    pub(crate) owner: Option<users::Model>,
    /// `None`: only its hash is known.
    pub(crate) secret: Option<Secret>,
}

impl Wish {
    /// Checks what can be checked before a change begins, and trims the label.
    pub(crate) fn check(&mut self) -> Result<(), ApiError> {
        if self.label.is_none() && self.copy_of.is_none() {
            return Err(ApiError::BadRequest("label is missing; only copy_of can stand in for it.".into()));
        }
        self.label = self.label.as_deref().map(|label| label.trim().to_owned());
        self.label.as_deref().map_or(Ok(()), check_label)?;
        self.ip_ranges.as_deref().map_or(Ok(()), check_ip_ranges)
    }
}

/// Makes a token in a change of this caller's, who is asked for permission here.
pub(crate) async fn make(
    change: &mut Change<'_>,
    caller: &Caller,
    wish: Wish,
    material: Material,
) -> Result<Made, ApiError> {
    let copied = match &wish.copy_of {
        None => None,
        Some(id) => Some(super::find(change.transaction(), caller, Action::ShowToken, id).await.map_err(no_copy)?),
    };
    let copied = copied.as_ref().map(|(_permit, token, owner)| (token, owner.as_ref()));
    let (settings, now) = (&change.settings().0, change.now());
    let (permit, owner) = whom_for(change, caller, &wish.owner, copied).await?;
    if material.imported {
        // Whoever says what the token is could say what another user has for a token, a password or even a name: that user
        // would be refused from then on, and the audit would tell the owner of it.
        caller.may(Action::CreateToken, Whose::Others)?;
    }
    if settings.only_admins_create && !caller.user.sysadmin {
        return Err(ApiError::OnlyAdminsCreate);
    }
    if owner.is_none() && !settings.unbound_tokens {
        return Err(ApiError::Denied(DenyReason::UnboundTokensOff));
    }
    let copied = copied.map(|(token, _owner)| token);
    let label = wish.label.as_deref().or(copied.map(|token| token.label.as_str()));
    let valid_from = wish.valid_from.or(copied.and_then(|token| token.valid_from).map(timestamp));
    let wanted = copied.into_iter().fold(wish.wanted, |wanted, token| wanted.or_as_long_as(span_of(token)));
    let new = NewToken {
        public_id: material.public_id,
        hash: material.hash,
        label: label.unwrap_or_default(),
        owner_id: owner.as_ref().map(|owner| owner.id),
        valid_from,
        expires_at: wanted.end(settings, valid_from, now)?,
        read_only: wish.scope.map_or(copied.is_some_and(|token| token.read_only), |scope| scope == Scope::ReadOnly),
        imported: material.imported,
        ip_ranges: match (wish.ip_ranges, copied) {
            (None, Some(token)) => super::stored_ip_ranges(token)?,
            (said, _) => said.unwrap_or_default(),
        },
        restrictions: match (wish.restrictions, copied) {
            (None, Some(token)) => super::copied_restrictions(token)?,
            (said, _) => said.flatten(),
        },
        recoverable: material.recoverable,
    };
    let token = change.create_token(&permit, new).await?;
    Ok(Made { token, owner, secret: material.secret })
}

fn no_copy(error: ApiError) -> ApiError {
    match error {
        ApiError::NotFound => ApiError::BadRequest("copy_of is no token, or none that you may see.".into()),
        other => other,
    }
}

/// For whom the token is to be, and the proof that the caller may make it.
async fn whom_for(
    change: &Change<'_>,
    caller: &Caller,
    owner: &ForWhom,
    copied: Option<(&tokens::Model, Option<&users::Model>)>,
) -> Result<(Permit, Option<users::Model>), ApiError> {
    let owner = match (owner, copied) {
        (ForWhom::Anybody, _) => None,
        (ForWhom::Unsaid, Some((_, owner))) => owner.cloned(),
        (ForWhom::Unsaid, None) => Some(caller.user.clone()),
        // Whether another user exists is for those to know who may do something about it.
        (ForWhom::Named(name), _) => match crate::api::users::find(change.transaction(), name).await {
            Err(ApiError::NotFound) => {
                caller.may(Action::CreateToken, Whose::Others)?;
                return Err(ChangeError::OwnerGone.into());
            }
            other => Some(other?),
        },
    };
    let permit = caller.may(Action::CreateToken, caller.whose(owner.as_ref().map(|owner| owner.id)))?;
    Ok((permit, owner))
}

/// What a token is made of, and all that is kept of it.
pub(crate) struct Material {
    pub(crate) public_id: String,
    pub(crate) hash: KeyedHash,
    /// `None`: only its hash is known.
    pub(crate) secret: Option<Secret>,
    /// Made elsewhere: nobody knows that anyone has it.
    pub(crate) imported: bool,
    /// In standard mode alone (S7).
    pub(crate) recoverable: Option<Vec<u8>>,
}

impl Material {
    /// A new token.
    pub(crate) fn minted(app: &App) -> Result<Self, ApiError> {
        Ok(Self { imported: false, ..Self::of(app, token::mint(*keys::random()?))? })
    }

    /// A value that somebody has chosen, or that is a token elsewhere.
    pub(crate) fn chosen(app: &App, value: ChosenValue) -> Result<Self, ApiError> {
        Self::of(app, value.0)
    }

    /// A token that is one elsewhere, by the SHA-256 of its value.
    pub(crate) fn hashed(app: &App, sha256: [u8; 32]) -> Result<Self, ApiError> {
        let hash = app.store.master.hash_keys().chain(sha256);
        Ok(Self { public_id: public_id()?, hash, secret: None, imported: true, recoverable: None })
    }

    fn of(app: &App, secret: Secret) -> Result<Self, ApiError> {
        let (public_id, master) = (public_id()?, &app.store.master);
        let hash = master.hash_keys().hash(&secret);
        let recoverable = (!app.secure_mode).then(|| recoverable::seal(master, &public_id, &secret)).transpose()?;
        Ok(Self { public_id, hash, secret: Some(secret), imported: true, recoverable })
    }
}

/// A token as it is shown. The one place where a new one leaves the program: to the one who asked for it.
pub(crate) fn shown_once(secret: &Secret) -> Zeroizing<String> {
    Zeroizing::new(String::from_utf8_lossy(secret.expose()).into_owned())
}

/// The value of a token that was not minted here, and can be one.
pub(crate) struct ChosenValue(Secret);

impl ChosenValue {
    /// Characters of a value that somebody chooses now: fewer could be guessed.
    pub(crate) const LEN_MIN: usize = 20;
    /// Characters of a value that is a token already elsewhere, and works there: fewer are a password.
    pub(crate) const IMPORTED_LEN_MIN: usize = 12;

    /// Reads one of at least so many characters. What is wrong is said without the value.
    pub(crate) fn read(value: Secret, len_min: usize) -> Result<Self, String> {
        let bytes = value.expose();
        if !(len_min..=SECRET_LEN_MAX).contains(&bytes.len()) {
            return Err(format!("must have {len_min} to {SECRET_LEN_MAX} characters"));
        }
        // Both schemes carry these without a question of encoding.
        if !bytes.iter().all(u8::is_ascii_graphic) {
            return Err("must hold printable ASCII characters alone, and no spaces".into());
        }
        // It would be taken for a mistyped one of ours, and refused unread.
        if token::shows_in(bytes, 0) {
            return Err("must not begin like, or hold, a token of Tokengate's own".into());
        }
        Ok(Self(value))
    }
}

/// Reads the hexadecimal SHA-256 of a value.
pub(crate) fn sha256_of(hex: &str) -> Result<[u8; 32], &'static str> {
    let digits = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        let parsed = hex.get(index * 2..index * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *byte = parsed.filter(|_| digits).ok_or("must be the 64 hexadecimal digits of a SHA-256")?;
    }
    if hash == <[u8; 32]>::from(Sha256::digest(b"")) {
        return Err("is that of nothing at all");
    }
    Ok(hash)
}

/// A new token and its hash.
pub(crate) fn mint(keys: &HashKeys) -> Result<(Secret, KeyedHash), getrandom::Error> {
    let secret = token::mint(*keys::random()?);
    let hash = keys.hash(&secret);
    Ok((secret, hash))
}

/// A new public id.
pub(crate) fn public_id() -> Result<String, getrandom::Error> {
    Ok(keys::hex(&*keys::random::<10>()?).to_string())
}
