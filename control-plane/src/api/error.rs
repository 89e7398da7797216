//! Refusals of the API. Two audiences, two messages: the caller gets a problem, the log gets the cause.

use super::settings::LockOut;
use crate::change::ChangeError;
use crate::sign_in::SignInError;
use crate::trial::TrialError;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use policy::DenyReason;
use policy::problem::{Fault, Place, Problem};
use policy::restrictions::SyntaxError;
use policy::settings::Invalid;
use serde::Serialize;
use std::error::Error;
use std::sync::Arc;

/// Why the API refuses.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The credential was judged and refused, by the proxies' own rules.
    Denied(DenyReason),
    /// Nobody presented a token, or a password where those are accepted.
    CredentialsRequired,
    /// That is nobody's password.
    WrongPassword,
    /// That is not the user's own password, which is to be another one.
    WrongCurrentPassword,
    /// The backend knows the password, but we know no such user.
    NotAUser,
    /// Too many failed attempts; after so many seconds one more is allowed.
    TooManyAttempts(u64),
    /// Nobody could say whether the password is right.
    PasswordCheckFailed(SignInError),
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or none that the caller may see.
    NotFound,
    MethodNotAllowed,
    /// The request cannot be understood; the sentence says where.
    BadRequest(String),
    /// The body is no JSON by its own account.
    UnsupportedMediaType,
    /// A file of tokens is neither of the two that it may be, by its own account.
    NeitherCsvNorJsonLines,
    /// The body is beyond the limit.
    TooLarge,
    /// A file of tokens is.
    TooMuchToImport,
    /// The body did not arrive in time.
    BodyTimeout,
    /// Some settings cannot be.
    InvalidSettings(Vec<Invalid>),
    /// Some users cannot be.
    InvalidUsers(Vec<Fault>),
    /// So many lines of a file of tokens cannot be; what is wrong with the first of them.
    InvalidTokens {
        count: usize,
        faults: Vec<Fault>,
    },
    /// Under these settings the caller could not come again.
    WouldLockYouOut(Vec<LockOut>),
    /// Restrictions of a token that cannot be read (L7).
    InvalidRestrictions(Vec<SyntaxError>),
    /// The same, in a field of another name.
    InvalidRestrictionsIn(&'static str, Vec<SyntaxError>),
    /// Tokens are neither edited nor shown again (S7).
    SecureMode,
    /// There is no copy of the token (S7).
    NotRecoverable,
    /// The key was used for another request.
    IdempotencyKeyReused,
    /// Only sysadmins create tokens here (S4).
    OnlyAdminsCreate,
    /// The owner has as many tokens as are allowed (S8).
    TooManyTokens,
    /// No proxy could read what would come of it.
    DoesNotFit,
    /// There is such a token already (M6).
    TokenExists,
    /// No proxy of ours signed it.
    AssertionNotAuthentic,
    /// The clocks of proxy and control plane differ, or it is an old one.
    AssertionOfOtherTime,
    /// It was used before.
    AssertionUsed,
    /// Not now.
    Busy,
    /// A token is not to last for so long (S1); until then it may.
    ValidityTooLong(String),
    /// The proxy is not gone.
    ProxyIsLive,
    /// It was changed meanwhile.
    PreconditionFailed,
    /// Name or e-mail are somebody else's.
    UserExists,
    /// Without this user nobody could administer.
    LastSysadmin,
    /// Without this token nobody could administer.
    LastSysadminToken,
    /// Our fault.
    Internal(Box<dyn Error + Send + Sync>),
}

/// What the caller is to be told; carried to the layer that knows the request's id.
#[derive(Clone)]
pub(crate) struct Told {
    status: u16,
    code: &'static str,
    detail: String,
    errors: Vec<Fault>,
    /// Seconds, where the status alone does not say them.
    retry_after: Option<u64>,
    /// Whether the sentence is to stand there as the scripts of M2 look for it: as an `errorMessage`, and with 400 alone.
    pub(crate) with_error_message: bool,
    pub(crate) cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl ApiError {
    fn told(self) -> Told {
        let told = |status, code, detail: &str| Told {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            with_error_message: false,
            cause: None,
        };
        match self {
            Self::Denied(reason) => told(reason.status(), reason.code(), reason.sentence()),
            Self::CredentialsRequired => told(
                401,
                "credentials_required",
                "Send an API token: Basic with USER:TOKEN, or Bearer with the token; or, where passwords are accepted, Basic with USER:PASSWORD.",
            ),
            Self::WrongPassword => told(401, "wrong_password", "The user name or the password is wrong."),
            Self::WrongCurrentPassword => told(
                403,
                "wrong_current_password",
                "Send the password that you have now as current_password, or sign in with it.",
            ),
            Self::NotAUser => {
                told(403, "not_a_user", "The password is right, but you are no user here; ask a sysadmin.")
            }
            Self::TooManyAttempts(seconds) => Told {
                retry_after: Some(seconds),
                ..told(429, "too_many_attempts", "There were too many failed attempts to sign in; try again later.")
            },
            Self::PasswordCheckFailed(cause) => Told {
                cause: Some(Arc::new(cause)),
                ..told(
                    503,
                    "password_check_failed",
                    "The backend did not say whether the password is right; try again shortly.",
                )
            },
            Self::Forbidden => told(403, "forbidden", "You may not do this; it takes a sysadmin."),
            Self::NotFound => told(404, "not_found", "There is no such resource, or none that you may see."),
            Self::MethodNotAllowed => told(405, "method_not_allowed", "This resource does not know this method."),
            Self::BadRequest(detail) => told(400, "bad_request", &detail),
            Self::UnsupportedMediaType => {
                told(415, "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json.")
            }
            Self::TooLarge => {
                told(413, "body_too_large", "The body is larger than this resource takes (most: 128 KiB).")
            }
            Self::NeitherCsvNorJsonLines => told(
                415,
                "unsupported_media_type",
                "Send a table with Content-Type: text/csv, or JSON lines with application/x-ndjson; in UTF-8, not compressed.",
            ),
            Self::TooMuchToImport => told(413, "body_too_large", "The file is larger than 256 MiB: send it in parts."),
            Self::BodyTimeout => told(408, "body_timeout", "The body did not arrive within 10 seconds."),
            Self::InvalidSettings(errors) => {
                let fault = |error: Invalid| Fault {
                    detail: format!("{}: {}.", error.pointer.trim_start_matches('/'), error.must)
                        .trim_start_matches(": ")
                        .into(),
                    pointer: format!("#{}", error.pointer),
                    place: None,
                };
                let told = told(400, "invalid_settings", "Some settings cannot be; nothing was changed.");
                Told { errors: errors.into_iter().map(fault).collect(), ..told }
            }
            Self::InvalidUsers(errors) => {
                let told = told(400, "invalid_users", "Some users cannot be; none was created.");
                Told { errors, ..told }
            }
            Self::InvalidTokens { count, faults } => {
                let lines = if count == 1 { "1 line".into() } else { format!("{count} lines") };
                let told = told(400, "invalid_tokens", &format!("{lines} cannot be taken over, so none was."));
                Told { errors: faults, ..told }
            }
            Self::WouldLockYouOut(reasons) => {
                let fault =
                    |LockOut { setting, detail }| Fault { detail, pointer: format!("#/{setting}"), place: None };
                let told = told(
                    409,
                    "would_lock_you_out",
                    "You could not do this again: see `errors`. Nothing was changed; `?force=true` does it all the same.",
                );
                Told { errors: reasons.into_iter().map(fault).collect(), ..told }
            }
            Self::InvalidRestrictions(errors) => Self::InvalidRestrictionsIn("restrictions", errors).told(),
            Self::InvalidRestrictionsIn(field, errors) => {
                let fault = |error: SyntaxError| Fault {
                    detail: error.to_string(),
                    pointer: format!("#/{field}"),
                    place: Some(Place { line: error.line, column: error.column }),
                };
                let told = match errors.iter().all(|error| error.too_costly) {
                    true => told(
                        400,
                        "restrictions_too_costly",
                        "Judging by these restrictions would take a proxy too long; nothing was saved.",
                    ),
                    false => told(400, "invalid_restrictions", "Some restrictions are invalid; nothing was saved."),
                };
                Told { errors: errors.into_iter().map(fault).collect(), ..told }
            }
            Self::SecureMode => told(
                403,
                "secure_mode",
                "In secure mode API tokens are neither edited nor shown again; create another one, and delete this one.",
            ),
            Self::NotRecoverable => told(
                404,
                "not_recoverable",
                "There is no copy of this API token: it was made elsewhere or in secure mode.",
            ),
            Self::IdempotencyKeyReused => {
                told(422, "idempotency_key_reused", "The Idempotency-Key was used for another request; take a new one.")
            }
            Self::OnlyAdminsCreate => told(403, "only_admins_create", "Only sysadmins create API tokens here."),
            Self::TooManyTokens => {
                told(409, "too_many_tokens", "The owner has as many API tokens as are allowed; delete one before.")
            }
            Self::DoesNotFit => told(
                409,
                "does_not_fit",
                "There is no room for this in the snapshot of the proxies; use shorter restrictions.",
            ),
            Self::TokenExists => told(409, "token_exists", "There is such an API token already."),
            Self::AssertionNotAuthentic => {
                told(401, "assertion_not_authentic", "The identity in this request was not signed by a proxy of ours.")
            }
            Self::AssertionOfOtherTime => told(
                503,
                "assertion_of_other_time",
                "The clocks of proxy and control plane differ, or the control plane has just started; try again shortly.",
            ),
            Self::AssertionUsed => told(401, "assertion_used", "The proxy's assertion was used before."),
            Self::Busy => told(503, "busy", "The control plane cannot answer right now; try again shortly."),
            Self::ValidityTooLong(latest) => {
                told(400, "validity_too_long", &format!("The API token must end by {latest}, or before."))
            }
            Self::ProxyIsLive => told(409, "proxy_is_live", "The proxy is there, and would be back at once."),
            Self::PreconditionFailed => {
                told(412, "precondition_failed", "It was changed since the version in If-Match; read it again.")
            }
            Self::UserExists => told(409, "user_exists", "The name or the e-mail address is another user's."),
            Self::LastSysadmin => {
                told(409, "last_sysadmin", "This is the last sysadmin; make another user one before.")
            }
            Self::LastSysadminToken => told(
                409,
                "last_sysadmin_token",
                "By nothing else a sysadmin could still get in; create another token of one before.",
            ),
            Self::Internal(cause) => Told {
                cause: Some(cause.into()),
                ..told(500, "internal", "Something went wrong here; the log has it under the request id.")
            },
        }
    }
}

impl Told {
    /// The reply, under the request's id.
    pub(crate) fn respond(&self, request_id: &str, help_url: Option<&str>) -> Response {
        let problem = Problem::new(self.status, self.code, &self.detail, Some(request_id));
        let problem = Problem { help_url, errors: &self.errors, ..problem };
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let plain = self.with_error_message && self.status == 400;
        let body = match self.with_error_message {
            false => problem.to_json(),
            true => {
                let told = WithErrorMessage { problem: (!plain).then_some(&problem), error_message: &self.detail };
                serde_json::to_vec(&told).unwrap_or_default()
            }
        };
        let mut response = (status, body).into_response();
        response.headers_mut().remove(CONTENT_TYPE);
        for (name, value) in problem.headers() {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        if plain {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A refusal as the scripts of M2 read it.
#[derive(Serialize)]
struct WithErrorMessage<'a> {
    #[serde(flatten)]
    problem: Option<&'a Problem<'a>>,
    #[serde(rename = "errorMessage")]
    error_message: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self.told());
        response
    }
}

impl From<TrialError> for ApiError {
    fn from(error: TrialError) -> Self {
        match error {
            TrialError::Busy => Self::Busy,
            other => Self::Internal(Box::new(other)),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::UserExists => Self::UserExists,
            ChangeError::TokenExists => Self::TokenExists,
            ChangeError::TooManyTokens => Self::TooManyTokens,
            ChangeError::DoesNotFit(error) => {
                tracing::warn!(%error, "a change is refused, since it does not fit the snapshot of the proxies");
                Self::DoesNotFit
            }
            ChangeError::Denied(reason) => Self::Denied(reason),
            ChangeError::PasswordChanged => Self::WrongPassword,
            ChangeError::OwnerGone => Self::BadRequest("owner is no user here.".into()),
            ChangeError::LastSysadmin => Self::LastSysadmin,
            ChangeError::LastSysadminToken => Self::LastSysadminToken,
            // The log has said it, once.
            ChangeError::NotDurable(_) => Self::Busy,
            other @ (ChangeError::WrongPermit(_)
            | ChangeError::Seal
            | ChangeError::Key(_)
            | ChangeError::Database(_)
            | ChangeError::Reload(_)) => Self::Internal(Box::new(other)),
        }
    }
}

impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::NotByPassword => Self::CredentialsRequired,
            SignInError::Wrong => Self::WrongPassword,
            SignInError::Suspended => Self::Denied(DenyReason::UserSuspended),
            SignInError::NotAUser => Self::NotAUser,
            SignInError::TooMany(seconds) => Self::TooManyAttempts(seconds),
            SignInError::Busy => Self::Busy,
            error @ SignInError::Probe(_) => Self::PasswordCheckFailed(error),
            SignInError::Change(error) => error.into(),
            error @ (SignInError::Password(_) | SignInError::Database(_)) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<sea_orm::DbErr> for ApiError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Internal(Box::new(error))
    }
}

impl From<getrandom::Error> for ApiError {
    fn from(error: getrandom::Error) -> Self {
        Self::Internal(Box::new(error))
    }
}
