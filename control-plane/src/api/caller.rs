//! Who is calling: a token, judged by the very function that judges in the proxies; a proxy's word for one that it has
//! judged, in an assertion; or a user with a password, which is looked at once all these rules let it pass.

use super::REQUEST_ID;
use super::error::ApiError;
use crate::App;
use crate::change::{Author, CameWith, Change};
use crate::clock;
use crate::image::Image;
use crate::permission::{Action, Permit, Role, Whose, permit};
use crate::server::Peer;
use crate::sign_in::{self, Coming};
use crate::store::{Store, tokens, users};
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use policy::assertion::{AssertionError, For};
use policy::credential::{Credential, Secret};
use policy::headers::ASSERTION;
use policy::record::same_ignoring_case;
use policy::restrictions::{Body, Set};
use policy::settings::{Audience, AuditCalls};
use policy::usage::Call;
use policy::{
    DenyReason, Facts, Found, KeyedHash, Known, Request, Site, Snapshot, Sources, Timestamp, TokenRecord, UserRecord,
    Verdict, decide,
};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// A user who came with a token that was admitted, or on whose behalf somebody did; or with the right password.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) user: users::Model,
    /// Who came, if that is somebody else.
    actor_id: Option<i64>,
    pub(crate) came_with: CameWith,
    pub(crate) request_id: Option<String>,
    /// Where the caller is, if that is known.
    pub(crate) address: Option<IpAddr>,
    /// Under which scheme the credential came; `None`: only the proxy knows.
    pub(crate) scheme: Option<Scheme>,
}

/// How a credential was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Basic,
    Bearer,
}

impl Caller {
    /// Begins a change by this caller, and gives the caller as it is now that the change has begun: what was read
    /// before may have been revoked meanwhile.
    pub(crate) async fn begin(self, store: &Store) -> Result<(Change<'_>, Self), ApiError> {
        let Self { user, actor_id, came_with, request_id, address, scheme } = self;
        let (author_came, author_request) = (came_with.clone(), request_id.clone());
        let author = Author::Caller { user_id: user.id, actor_id, came_with: author_came, request_id: author_request };
        let change = Change::begin(store, author).await?;
        let user = change.caller().cloned().ok_or(ApiError::CredentialsRequired)?;
        Ok((change, Self { user, actor_id, came_with, request_id, address, scheme }))
    }

    /// The name of this caller for what is kept for them alone: who they are, and on whose behalf they came.
    pub(crate) fn key(&self) -> String {
        format!("{} {}", self.user.id, self.actor_id.unwrap_or_default())
    }

    /// Asks the table of permissions for the caller.
    pub(crate) fn may(&self, action: Action, whose: Whose) -> Result<Permit, ApiError> {
        let role = if self.user.sysadmin { Role::Sysadmin } else { Role::User };
        permit(role, action, whose).ok_or(ApiError::Forbidden)
    }

    /// Whether somebody else came in the name of this user.
    pub(crate) fn is_on_behalf(&self) -> bool {
        self.actor_id.is_some()
    }

    /// Whose a thing of this user is. What is nobody's is somebody else's.
    pub(crate) fn whose(&self, owner_id: Option<i64>) -> Whose {
        if owner_id == Some(self.user.id) { Whose::Own } else { Whose::Others }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let now = clock::now();
        if !app.store.image_is_trusted() {
            return Err(ApiError::Busy);
        }
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
        let address = peer.and_then(|peer| app.trusted_proxies.client(peer, &parts.headers));
        let (presented, address) = match asserted(&parts.headers, app, now)? {
            // The one at the other end is a proxy: unless it is trusted to name its client, nobody knows where that is.
            Some(admitted) => {
                let is_trusted = peer.is_some_and(|peer| app.trusted_proxies.trust(peer));
                (Presented::Token(admitted), address.filter(|_| is_trusted))
            }
            None => (judged(parts, app, address, now)?, address),
        };
        let request_id = parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        match presented {
            Presented::Token(admitted) => known(admitted, request_id, address, &app.store, now).await,
            Presented::Password { name, password } => {
                let coming = Coming { name: &name, password: &password, address, request_id: request_id.as_deref() };
                let (user, right_by) = sign_in::sign_in(app, coming).await?;
                let (came_with, scheme) = (CameWith::Password(right_by), Some(Scheme::Basic));
                Ok(Self { user, actor_id: None, came_with, request_id, address, scheme })
            }
        }
    }
}

/// What the rules let pass.
enum Presented {
    Token(Admitted),
    /// What is no token, by Basic; nobody has looked at it yet.
    Password {
        name: Vec<u8>,
        password: Secret,
    },
}

/// What an assertion or a verdict of our own says.
struct Admitted {
    token_id: String,
    user: String,
    actor: Option<String>,
    scheme: Option<Scheme>,
}

/// What a proxy asserts, if it does. Whatever identity the request claims otherwise is not even looked at.
fn asserted(headers: &HeaderMap, app: &App, now: Timestamp) -> Result<Option<Admitted>, ApiError> {
    let mut assertions = headers.get_all(ASSERTION).iter();
    let Some(assertion) = assertions.next() else {
        return Ok(None);
    };
    if assertions.next().is_some() {
        return Err(ApiError::Denied(DenyReason::BadCredentials));
    }
    let settings = app.store.settings();
    let claims =
        settings.1.control_plane_assertion.verify(assertion.as_bytes(), Audience::CONTROL_PLANE, now).map_err(
            |error| match error {
                AssertionError::NotAuthentic => ApiError::AssertionNotAuthentic,
                AssertionError::OtherTime => ApiError::AssertionOfOtherTime,
            },
        )?;
    app.assertions.once(&claims, now)?;
    Ok(Some(Admitted {
        token_id: claims.token_id,
        user: claims.sub,
        actor: claims.act.map(|act| act.sub),
        scheme: None,
    }))
}

/// What this program itself judges.
fn judged(parts: &Parts, app: &App, address: Option<IpAddr>, now: Timestamp) -> Result<Presented, ApiError> {
    let target = [(b":path".as_slice(), parts.uri.path().as_bytes()), (b":method", parts.method.as_str().as_bytes())];
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let headers: Vec<_> = target.into_iter().chain(headers).collect();
    let request = Request::read(&headers, &Site::default());
    let (verdict, call) = app.store.with_image(|image| {
        let opened = image.settings();
        let (settings, keys) = &*opened;
        let known = Known::gather(&request, settings, keys, &InImage { image, address });
        let verdict = decide(&Facts {
            request: &request,
            snapshot: Snapshot::Ready { settings, age_ms: 0 },
            known: &known,
            body: Body::NotYet,
            now,
        });
        let call = Call::of(&verdict, &request, &known, settings.audit_calls, now, || address);
        (verdict, call.map(|call| (call, settings.audit_calls != AuditCalls::Off)))
    });
    if let Some((call, whole)) = call {
        app.own_calls.add(call, whole);
    }
    match verdict {
        // A facade that was switched off a moment ago: judged for the backend, this may be a token that manages nothing.
        Verdict::Admit(grant) if grant.to() != For::ControlPlane => Err(ApiError::NotFound),
        Verdict::Pass(For::Backend) => Err(ApiError::NotFound),
        Verdict::Admit(grant) => Ok(Presented::Token(Admitted {
            token_id: grant.token().id.clone(),
            user: grant.user().name.clone(),
            actor: grant.actor().map(str::to_owned),
            scheme: match request.credential() {
                Credential::Basic { .. } => Some(Scheme::Basic),
                Credential::Bearer { .. } => Some(Scheme::Bearer),
                Credential::None | Credential::Foreign | Credential::Unreadable => None,
            },
        })),
        Verdict::Deny(reason) => Err(ApiError::Denied(reason)),
        Verdict::Pass(For::ControlPlane) => match request.credential() {
            Credential::Basic { user, secret } => {
                Ok(Presented::Password { name: user.clone(), password: secret.clone() })
            }
            Credential::None | Credential::Bearer { .. } | Credential::Foreign | Credential::Unreadable => {
                Err(ApiError::CredentialsRequired)
            }
        },
        Verdict::NeedBody => Err(ApiError::CredentialsRequired),
    }
}

/// The users of whom is spoken, as the database knows them. The one with the token is the one to whom it belongs, not
/// one who has the same name today.
async fn known(
    admitted: Admitted,
    request_id: Option<String>,
    address: Option<IpAddr>,
    store: &Store,
    now: Timestamp,
) -> Result<Caller, ApiError> {
    let gone = || ApiError::Denied(DenyReason::TokenDeleted);
    let Admitted { token_id, user, actor, scheme } = admitted;
    let (token, holder) = tokens::with_owner(&store.db, &token_id).await?.ok_or_else(gone)?;
    let holder = holder.ok_or_else(gone)?;
    if !same_ignoring_case(&holder.name, actor.as_ref().unwrap_or(&user)) {
        return Err(gone());
    }
    let context_user = match &actor {
        None => None,
        Some(_) => Some(super::users::find(&store.db, &user).await.map_err(|error| match error {
            ApiError::NotFound => ApiError::Denied(DenyReason::ContextUserUnknown),
            other => other,
        })?),
    };
    // Again, since a proxy may have judged by an older snapshot.
    store.still_stands(&token, Some(&holder), context_user.as_ref(), now).map_err(ApiError::Denied)?;
    let actor_id = context_user.is_some().then_some(holder.id);
    let (user, came_with) = (context_user.unwrap_or(holder), CameWith::Token(token_id));
    Ok(Caller { user, actor_id, came_with, request_id, address, scheme })
}

/// The image, as the rules ask it.
struct InImage<'a> {
    image: &'a Image,
    address: Option<IpAddr>,
}

impl Sources for InImage<'_> {
    fn token(&self, hash: &KeyedHash) -> Found<TokenRecord> {
        self.image.token(hash).cloned().map_or(Found::Nothing, Found::Record)
    }

    fn user(&self, hash: &KeyedHash) -> Found<UserRecord> {
        self.image.user(hash).cloned().map_or(Found::Nothing, Found::Record)
    }

    /// Nobody asks: a restricted token manages nothing, whatever it is restricted to.
    fn restrictions(&self, _hash: &KeyedHash) -> Found<Rc<Set>> {
        Found::NotLookedUp
    }

    fn address(&self) -> Option<IpAddr> {
        self.address
    }
}
