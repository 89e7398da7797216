//! Creations that may be asked for again (header `Idempotency-Key`): a client that got no answer repeats its request, and
//! gets the answer that it missed, not a second token.
//!
//! The answer is written in the transaction of the change, so it is there if and only if the change is. It may hold a
//! token, so it is sealed under a key that comes from the master key **and** from the client's key, of which the database
//! has only a keyed hash: neither the database nor the database with the master key gives a token back. That holds as long
//! as nobody can guess the client's key, so it has to have a certain length; clients take a random one.

use super::caller::Caller;
use super::error::ApiError;
use super::input::{json, read_json};
use crate::change::Change;
use crate::keys::{self, MasterKey};
use crate::store::{Store, idempotency};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use policy::SealKey;
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use zeroize::Zeroizing;

/// How long an answer is kept.
pub(crate) const KEPT_MS: u64 = 24 * 60 * 60 * 1000;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// For the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only describes what `Attempt` reads")]
pub(crate) struct IdempotencyKey {
    /// A random name for this request, such as a UUID: with the same one, the same request within 24 hours gets the same
    /// answer again, with `Idempotent-Replayed: true`, and nothing is done twice. 422 for another request.
    #[param(rename = "Idempotency-Key", min_length = 16, max_length = 255, pattern = "^[!-~]*$")]
    key: Option<String>,
}

/// A JSON body, and whether its request may come again.
pub(crate) struct Repeatable<T>(pub(crate) Attempt, pub(crate) T);

/// A request that may come again, if it says so.
pub(crate) struct Attempt(Option<Named>);

/// A request under a name.
struct Named {
    key: Zeroizing<String>,
    /// Method, path and body.
    request: Zeroizing<Vec<u8>>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Repeatable<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let key = key_of(request.headers())?;
        let target = format!("{}\n{}\n", request.method(), request.uri());
        let bytes = json(request, state).await?;
        let request = || Zeroizing::new([target.as_bytes(), &bytes].concat());
        let attempt = Attempt(key.map(|key| Named { key, request: request() }));
        Ok(Self(attempt, read_json(&bytes)?))
    }
}

/// The one key, if there is one.
fn key_of(headers: &HeaderMap) -> Result<Option<Zeroizing<String>>, ApiError> {
    let mut keys = headers.get_all(KEY).iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let printable = key.as_bytes().iter().all(u8::is_ascii_graphic) && (16..=255).contains(&key.len());
    match key.to_str() {
        Ok(key) if printable && keys.next().is_none() => Ok(Some(Zeroizing::new(key.to_owned()))),
        _ => Err(ApiError::BadRequest(
            "Idempotency-Key must be one of 16 to 255 printable ASCII characters without spaces, such as a UUID."
                .into(),
        )),
    }
}

impl Attempt {
    /// The answer that this caller got to this request before. To be asked once the change has begun, so that of two at
    /// once one waits for the other.
    pub(crate) async fn answered(
        &self,
        store: &Store,
        change: &Change<'_>,
        caller: &Caller,
    ) -> Result<Option<Response>, ApiError> {
        let Some(named) = &self.0 else {
            return Ok(None);
        };
        let row = named.key_hash(&store.master, caller);
        let Some(row) = idempotency::Entity::find_by_id(row).one(change.transaction()).await? else {
            return Ok(None);
        };
        let idempotency::Model { key_hash, request_hash, status, sealed, at } = row;
        if change.now().as_millis().saturating_sub(at.cast_unsigned()) >= KEPT_MS {
            return Ok(None);
        }
        if request_hash != named.request_hash(&store.master) {
            return Err(ApiError::IdempotencyKeyReused);
        }
        // It may have been committed a moment ago, by a request that is yet to be told so.
        store.durable.committed();
        store.durable.settle().await.map_err(|_| ApiError::Busy)?;
        let opened = named.seal_key(&store.master, caller).open(&key_hash, &sealed);
        let body = opened.ok_or_else(|| ApiError::Internal("a kept answer cannot be opened".into()))?;
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or_else(|| ApiError::Internal("a kept status is none".into()))?;
        let mut response = response(status, &body);
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(Some(response))
    }

    /// Commits a change with its answer, and gives it.
    pub(crate) async fn commit(
        &self,
        store: &Store,
        change: Change<'_>,
        caller: &Caller,
        status: StatusCode,
        answer: &impl Serialize,
    ) -> Result<Response, ApiError> {
        let body = Zeroizing::new(serde_json::to_vec(answer).map_err(|error| ApiError::Internal(Box::new(error)))?);
        if let Some(named) = &self.0 {
            let key_hash = named.key_hash(&store.master, caller);
            let sealed = named.seal_key(&store.master, caller).seal(&key_hash, *keys::random()?, &body);
            let row = idempotency::ActiveModel {
                request_hash: Set(named.request_hash(&store.master)),
                status: Set(status.as_u16().into()),
                sealed: Set(sealed.ok_or_else(|| ApiError::Internal("the answer cannot be sealed".into()))?),
                at: Set(crate::store::tokens::stored(change.now())),
                key_hash: Set(key_hash),
            };
            change.keep_answer(row).await?;
        }
        change.commit().await?;
        Ok(response(status, &body))
    }
}

impl Named {
    fn key_hash(&self, master: &MasterKey, caller: &Caller) -> Vec<u8> {
        let key = Zeroizing::new(["key\n", &caller.key(), "\n", &self.key].concat());
        master.idempotency_key().hash(key.as_bytes()).as_bytes().to_vec()
    }

    /// The key is in it, too: a request may hold a password, which could be guessed far faster from this than from its
    /// own hash.
    fn request_hash(&self, master: &MasterKey) -> Vec<u8> {
        let request = Zeroizing::new([b"request\n".as_slice(), self.key.as_bytes(), b"\n", &self.request].concat());
        master.idempotency_key().hash(&request).as_bytes().to_vec()
    }

    fn seal_key(&self, master: &MasterKey, caller: &Caller) -> SealKey {
        master.answer_key(&caller.key(), &self.key)
    }
}

fn response(status: StatusCode, json: &[u8]) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json.to_vec()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_a_password_is_not_guessed_from_the_hash_of_a_request_without_the_clients_key() {
        let directory = tempfile::tempdir().unwrap();
        let master = MasterKey::load_or_create(&directory.path().join("master.key")).unwrap();
        let hash = |key: &str, request: &str| {
            let named = Named { key: Zeroizing::new(key.into()), request: Zeroizing::new(request.as_bytes().to_vec()) };
            named.request_hash(&master)
        };
        let request = r#"{"name":"alice","password":"12345678"}"#;
        assert_eq!(hash("a-key-of-16-bytes", request), hash("a-key-of-16-bytes", request));
        assert_ne!(hash("a-key-of-16-bytes", request), hash("b-key-of-16-bytes", request));
    }
}
