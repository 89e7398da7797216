//! The token of which is asked: what a proxy would be shown, and what it would find.
//!
//! Of a token that is named by its id nobody knows the value. In its place a value of the same form is made up, for this
//! one explanation, and what is looked up under its hash is the record of the token itself. So everything comes out as it
//! would with the token: deleted, expired, unbound, under a scheme that is not accepted.

use super::asked::{About, Asked};
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::image::Image;
use crate::keys;
use crate::permission::{Action, Whose};
use crate::store::{Store, tokens, users};
use policy::credential::Secret;
use policy::restrictions::Set;
use policy::{Found, KeyedHash, Sources, TokenRecord, UserRecord, token};
use std::net::IpAddr;
use std::rc::Rc;

/// What is presented in the request of which is asked.
pub(super) struct Presented {
    pub(super) secret: Secret,
    /// Who is named beside it in Basic if nobody else is.
    pub(super) owner: String,
    /// Whether it may be a token all the same, which is not for the caller to see.
    pub(super) may_be_anothers: bool,
    /// Whether its form is made up, of a token that was made elsewhere.
    pub(super) form_is_guessed: bool,
    /// The hash of the secret, and the one under which the token is really found.
    hash: KeyedHash,
    found_under: KeyedHash,
    /// Which tokens the caller may hear of.
    sees: Sees,
}

/// Which tokens are there for the caller.
enum Sees {
    All,
    /// These, which are the caller's own. Every other one is as good as none, or whoever tries values would be told here,
    /// unseen, which of them are somebody's tokens.
    Only(Vec<KeyedHash>),
}

impl Presented {
    /// Finds what is asked about. 404 for the id of a token that is not for the caller to see.
    pub(super) async fn find(store: &Store, caller: &Caller, asked: &Asked) -> Result<Self, ApiError> {
        let opened = store.settings();
        let keys = &opened.1.token_hash;
        let (secret, found, form_is_guessed) = match &asked.about {
            About::Id(id) => {
                let found = tokens::with_owner(&store.db, id).await?.ok_or(ApiError::NotFound)?;
                let whose = caller.whose(found.0.owner_id);
                caller.may(Action::ExplainToken, whose).map_err(|_| ApiError::NotFound)?;
                let imported = found.0.imported;
                (stand_in(imported)?, Some(found), imported)
            }
            About::Value(value) => {
                let found = tokens::with_hash(&store.db, &keys.hash(value)).await?;
                (value.clone(), found.filter(|(token, _)| may_see(caller, token)), false)
            }
        };
        let hash = keys.hash(&secret);
        let found_under = match (&asked.about, &found) {
            (About::Id(_), Some((token, _))) => hash_of(token).ok_or(ApiError::NotFound)?,
            _ => hash,
        };
        let sees = if caller.may(Action::ExplainToken, Whose::Others).is_ok() {
            Sees::All
        } else {
            let mut own: Vec<_> = found.iter().map(|_| found_under).collect();
            // A token that stands where the name belongs is looked up, too.
            let name = keys.hash(&Secret::new(asked.user.clone().unwrap_or_default().into_bytes()));
            let named = tokens::with_hash(&store.db, &name).await?;
            own.extend(named.filter(|(token, _)| may_see(caller, token)).map(|_| name));
            Sees::Only(own)
        };
        let may_be_anothers = found.is_none() && matches!(sees, Sees::Only(_));
        let owner = found
            .and_then(|(_, owner)| owner)
            .map_or_else(|| caller.user.name.clone(), |owner: users::Model| owner.name);
        Ok(Self { secret, owner, may_be_anothers, form_is_guessed, hash, found_under, sees })
    }

    /// The restrictions of the token, compiled, under their hash, which means them and no others. Without them a token that
    /// has some is judged as it would be in a proxy that cannot read them.
    pub(super) fn restrictions(&self, store: &Store) -> Option<(KeyedHash, Rc<Set>)> {
        let (hash, text) = store.with_image(|image| {
            let hash = self.look_up(image, &self.hash)?.restrictions?;
            Some((hash, image.restrictions(&hash)?.text.clone()))
        })?;
        Some((hash, Rc::new(Set::saved(&text)?)))
    }

    /// The image, as the rules ask it about this request.
    pub(super) fn sources<'a>(
        &'a self,
        image: &'a Image,
        address: Option<IpAddr>,
        set: Option<&'a (KeyedHash, Rc<Set>)>,
    ) -> impl Sources + 'a {
        InImage { presented: self, image, address, set }
    }

    fn look_up<'a>(&self, image: &'a Image, hash: &KeyedHash) -> Option<&'a TokenRecord> {
        let hash = if *hash == self.hash { &self.found_under } else { hash };
        match &self.sees {
            Sees::Only(own) if !own.contains(hash) => None,
            Sees::Only(_) | Sees::All => image.token(hash),
        }
    }
}

struct InImage<'a> {
    presented: &'a Presented,
    image: &'a Image,
    address: Option<IpAddr>,
    set: Option<&'a (KeyedHash, Rc<Set>)>,
}

impl Sources for InImage<'_> {
    fn token(&self, hash: &KeyedHash) -> Found<TokenRecord> {
        self.presented.look_up(self.image, hash).cloned().map_or(Found::Nothing, Found::Record)
    }

    fn user(&self, hash: &KeyedHash) -> Found<UserRecord> {
        self.image.user(hash).cloned().map_or(Found::Nothing, Found::Record)
    }

    /// One that changed a moment ago cannot be read now.
    fn restrictions(&self, hash: &KeyedHash) -> Found<Rc<Set>> {
        match self.set {
            Some((compiled, set)) if compiled == hash => Found::Record(set.clone()),
            Some(_) | None => Found::Unreadable,
        }
    }

    fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

fn may_see(caller: &Caller, token: &tokens::Model) -> bool {
    caller.may(Action::ExplainToken, caller.whose(token.owner_id)).is_ok()
}

/// A value of the form that the token has, which nobody else has.
fn stand_in(imported: bool) -> Result<Secret, ApiError> {
    if imported {
        return Ok(Secret::new(keys::hex(&*keys::random::<32>()?).as_bytes().to_vec()));
    }
    Ok(token::mint(*keys::random()?))
}

fn hash_of(token: &tokens::Model) -> Option<KeyedHash> {
    token.hash.as_slice().try_into().ok().map(KeyedHash::from_bytes)
}
